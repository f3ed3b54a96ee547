//! What somebody who mistyped a name may have meant.

/// The known name that is nearest to `word`, if any is near enough that a person would have meant it.
///
/// Two measures, because people err in two ways: a letter or two amiss (`ulr`), and a name begun but not finished
/// (`database` for `database_url`).
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let amiss = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter_map(|name| {
            let other = name.to_lowercase();
            let distance = strsim::damerau_levenshtein(&word, &other);
            let similarity = strsim::jaro_winkler(&word, &other);
            (distance <= amiss || similarity >= 0.85).then_some((similarity, distance, name))
        })
        .min_by(|(a, near, _), (b, nearer, _)| near.cmp(nearer).then(b.total_cmp(a)))
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let known = ["url", "url_file", "prefetch", "database_url", "batch"];
        for (word, expected) in [
            ("ulr", Some("url")),
            ("URL", Some("url")),
            ("urlfile", Some("url_file")),
            ("database", Some("database_url")),
            ("prefech", Some("prefetch")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest("url", []), None);
    }
}
