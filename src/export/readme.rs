//! The page that a person reads first: what is held, why, how long, from when, and what they may ask for. It needs no network
//! and runs nothing.

use std::fmt::{self, Display, Write};

use jiff::tz::TimeZone;

use super::{
    Target,
    write::{Source, Summary},
};

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;width:100%}th,td{border:1px solid #bbb;padding:.4em .6em;text-align:left;vertical-align:top}\
th{background:#eee}code{background:#f2f2f2}.note{border-left:.3em solid #b60;padding:.2em 1em;background:#fdf6ec}";

const RIGHTS: &str = "\
<h2>Your rights</h2>
<ul>
<li>You may have what is wrong corrected, and what is missing added (GDPR Art. 16).</li>
<li>You may ask for erasure (Art. 17). In the audit trail what you entered is erased, and that there was an entry stays provable.</li>
<li>You may ask that your data be set aside and not used for a time (Art. 18), and object to their use (Art. 21).</li>
<li>You may take these data to another service (Art. 20): <code>data.json</code> and the CSV files are made for that.</li>
<li>You may withdraw consent that you gave, for the future (Art. 7).</li>
<li>You may complain to a data protection authority, for example where you live or work (Art. 77).</li>
</ul>
";

const FILES: &str = "\
<h2>What is in this archive</h2>
<ul>
<li><code>README.html</code>: this page.</li>
<li><code>csv/</code>: the data as tables, which spreadsheet programs open (CSV, in UTF-8, separated by commas). So that no \
spreadsheet takes a text for a formula, texts that begin with a character such as =, +, - or @ have an apostrophe (') put in \
front, as have texts that begin with an apostrophe. An empty cell means that there is no value, or an empty text.</li>
<li><code>data.json</code>: the same data for programs, exactly as they are stored.</li>
<li><code>manifest.json</code>: how many records each file has, and checksums (SHA-256) that show whether a file was changed.</li>
</ul>
<p>Times are in UTC. Passwords, API keys and tokens are not stored in readable form; the values by which they are recognised are \
left out, since somebody could misuse them.</p>
";

/// The page.
pub(super) fn html(source: &Source<'_>, summaries: &[Summary]) -> String {
    let mut page = String::new();
    page_into(&mut page, source, summaries).expect("a text takes all");
    page
}

fn page_into(page: &mut String, source: &Source<'_>, summaries: &[Summary]) -> fmt::Result {
    let notice = source.notice;
    let title = match source.target {
        Target::User(_) => "Your personal data",
        Target::Organization(_) => "Your organisation's data",
    };
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )?;
    about(page, source)?;
    if !source.target.organization_is_active() {
        page.push_str(
            "<p class=\"note\">The organisation is not active any more. Its data are still held, and the rights below still hold.</p>\n",
        );
    }
    page.push_str("<h2>What is held</h2>\n");
    held(page, summaries)?;
    if !notice.retention.is_empty() {
        writeln!(
            page,
            "<p>For how long, in the words of who is responsible: {}</p>",
            Escaped(&notice.retention)
        )?;
    }
    page.push_str(
        "<p>Encrypted copies of these records can be in backups, which are kept for a limited time and cannot be changed meanwhile; \
         when data are erased, the keys to the copies are destroyed, so that nobody can read them any more.</p>\n\
         <p>The data come from use of the service: from what was entered, what programs and agents sent in your name, and what the \
         service found when it checked it. Checking says something about a text, not about you.</p>\n",
    );
    page.push_str(FILES);
    page.push_str(RIGHTS);
    page.push_str("<h2>Whom to ask</h2>\n<p>");
    if !notice.controller.is_empty() {
        let controller = Escaped(&notice.controller);
        write!(page, "Responsible for the data is {controller}. ")?;
    }
    match notice.contact.as_str() {
        "" => page.push_str(
            "With questions, and to use your rights, turn to the administrator of the service in your organisation.",
        ),
        contact => write!(
            page,
            "With questions, and to use your rights, turn to {}.",
            Escaped(contact)
        )?,
    }
    page.push_str(
        " They can also tell you with whom the data are shared and on which legal ground they are used.</p>\n</body>\n</html>\n",
    );
    Ok(())
}

/// Whom it is about.
fn about(page: &mut String, source: &Source<'_>) -> fmt::Result {
    let made_at = source.made_at.to_zoned(TimeZone::UTC);
    let made_at = made_at.strftime("%-d %B %Y, %H:%M UTC");
    match source.target {
        Target::User(subject) => {
            page.push_str("<p>This is what is held about ");
            if let Some(email) = &subject.email {
                write!(page, "<b>{}</b>, ", Escaped(email))?;
            }
            let (user, organization) = (subject.user_id, subject.organization_id);
            write!(
                page,
                "user number {user} of organisation number {organization}"
            )?;
        }
        Target::Organization(organization) => {
            let id = organization.id;
            write!(
                page,
                "<p>This is what is held about organisation number {id}, its users and what they did"
            )?;
        }
    }
    writeln!(page, ", as of {made_at}.</p>")
}

fn held(page: &mut String, summaries: &[Summary]) -> fmt::Result {
    let (some, none): (Vec<_>, Vec<_>) = summaries.iter().partition(|it| it.records > 0);
    page.push_str(
        "<table>\n<tr><th>What</th><th>Records</th><th>From</th><th>To</th><th>Why</th><th>For how long</th></tr>\n",
    );
    for summary in some {
        let words = summary.words;
        let (from, to) = match &summary.span {
            Some((from, to)) => (minute(from), minute(to)),
            None => ("", ""),
        };
        writeln!(
            page,
            "<tr><td><b>{}</b><br>{}<br><code>csv/{}.csv</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            words.title,
            words.what,
            summary.name,
            summary.records,
            Escaped(from),
            Escaped(to),
            words.why,
            words.how_long,
        )?;
    }
    page.push_str("</table>\n");
    if !none.is_empty() {
        let titles: Vec<&str> = none.iter().map(|it| it.words.title).collect();
        writeln!(
            page,
            "<p>There are no records of these kinds: {}.</p>",
            titles.join(", ")
        )?;
    }
    Ok(())
}

/// A stored time up to the minute.
fn minute(time: &str) -> &str {
    time.get(..16).unwrap_or(time)
}

/// Text that stays text in HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let hostile = Escaped("<script>alert('x')</script> & \"y\"").to_string();
        let expected = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;";
        assert_eq!(hostile, expected);
    }
}
