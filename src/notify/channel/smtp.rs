//! Mail, to all receivers of a channel in one message.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{SendError, SetupError, chain, cut, digest, facts, line, links, tag};
use crate::{
    config::{Channel, Secret, SmtpTls},
    notify::{Notice, authorities::authorities, guard::Guard},
};

const MAX_SUBJECT: usize = 200;

pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    guard: Guard,
    timeout: Duration,
    username: String,
    password: Secret,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Smtp {
    pub(super) fn new(channel: &Channel) -> Result<Self, SetupError> {
        let mailbox = |text: &str, key| text.parse().map_err(|_| SetupError::Mailbox(key));
        let to: Result<_, _> = channel.to.iter().map(|text| mailbox(text, "to")).collect();
        let tls = match channel.smtp_tls() {
            SmtpTls::Starttls => Tls::Required(parameters(channel)?),
            SmtpTls::Tls => Tls::Wrapper(parameters(channel)?),
            SmtpTls::None => Tls::None,
        };
        Ok(Self {
            host: channel.host.clone(),
            port: channel.smtp_port(),
            // What is not encrypted goes to this machine alone.
            guard: Guard::new(channel, channel.smtp_tls() != SmtpTls::None),
            tls,
            timeout: channel.timeout(),
            username: channel.username.clone(),
            password: channel.secret.clone(),
            from: mailbox(&channel.from, "from")?,
            to: to?,
        })
    }

    pub(super) async fn send(&self, notice: &Notice, source: &str) -> Result<(), SendError> {
        let sent = tokio::time::timeout(self.timeout, self.try_all(notice, source)).await;
        let seconds = self.timeout.as_secs();
        let late = |_| {
            Err(SendError::later(format!(
                "no answer within {seconds} seconds"
            )))
        };
        sent.unwrap_or_else(late)
            .map_err(|error| error.of(&self.host))
    }

    /// Tries the server's addresses until one answers.
    async fn try_all(&self, notice: &Notice, source: &str) -> Result<(), SendError> {
        let message = message(notice, source, &self.from, &self.to)?;
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = self.guard.resolve(host, self.port).await;
        let found = found.map_err(|error| SendError::later(error.to_string()))?;
        let mut last = SendError::later("it has no address");
        for address in found {
            match self.transport(address).send(message.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_response() || error.is_tls() => return Err(failure(&error)),
                Err(error) => last = failure(&error),
            }
        }
        Err(last)
    }

    /// To an address that was checked; certificates are still about the name.
    fn transport(&self, address: SocketAddr) -> AsyncSmtpTransport<Tokio1Executor> {
        let host = address.ip().to_string();
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(address.port())
            .hello_name(ClientId::Domain(self.from.email.domain().to_owned()))
            .timeout(Some(self.timeout))
            .tls(self.tls.clone());
        if self.username.is_empty() {
            return transport.build();
        }
        let password = self.password.expose().to_owned();
        let credentials = Credentials::new(self.username.clone(), password);
        transport.credentials(credentials).build()
    }
}

fn parameters(channel: &Channel) -> Result<TlsParameters, SetupError> {
    let host = channel.host.trim_start_matches('[').trim_end_matches(']');
    let mut builder = TlsParameters::builder(host.to_owned());
    for authority in authorities(channel)? {
        let certificate = Certificate::from_der(authority.to_vec()).map_err(SetupError::tls)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(SetupError::tls)
}

/// What the server refuses for good it will refuse again; anything else may pass.
fn failure(error: &Error) -> SendError {
    let told = line(&chain(error));
    if error.is_permanent() {
        SendError::never(told)
    } else {
        SendError::later(told)
    }
}

/// The message. Values go through the header encoder of [`lettre`], and are on one line before.
pub(super) fn message(
    notice: &Notice,
    source: &str,
    from: &Mailbox,
    to: &[Mailbox],
) -> Result<Message, SendError> {
    let alert = &notice.alert;
    let domain = from.email.domain();
    // No message has this id; all of one alert refer to it, by which programs show them together.
    let episode = digest(&format!("{} {}", alert.identity(), alert.starts_at));
    let episode = format!("<alert.{}@{domain}>", &episode[..32]);
    let subject = format!("[{}] {}", tag(notice), line(&alert.summary));
    let mut builder = Message::builder()
        .from(from.clone())
        .date(SystemTime::from(notice.at))
        .message_id(Some(format!("<{}@{domain}>", line(&notice.id))))
        .in_reply_to(episode.clone())
        .references(episode)
        .subject(cut(&subject, MAX_SUBJECT));
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let parts = MultiPart::alternative_plain_html(plain(notice, source), html(notice, source));
    let built = builder.multipart(parts);
    let mut message = built.map_err(|error| SendError::never(chain(&error)))?;
    // Nobody's holiday notes come back for it. <https://www.rfc-editor.org/rfc/rfc3834>
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    let header = HeaderValue::new(name, "auto-generated".to_owned());
    message.headers_mut().insert_raw(header);
    Ok(message)
}

fn plain(notice: &Notice, source: &str) -> String {
    let alert = &notice.alert;
    let mut text = format!("{}\n", line(&alert.summary));
    if !alert.description.is_empty() {
        text = format!("{text}\n{}\n", alert.description);
    }
    text.push('\n');
    for (name, value) in facts(notice, source) {
        text = format!("{text}{name}: {}\n", line(&value));
    }
    for (name, url) in links(alert) {
        text = format!("{text}{name}: {url}\n");
    }
    text
}

fn html(notice: &Notice, source: &str) -> String {
    let alert = &notice.alert;
    let rows: String = facts(notice, source)
        .iter()
        .map(|(name, value)| format!("<tr><td>{}</td><td>{}</td></tr>", safe(name), safe(value)))
        .collect();
    let links: String = links(alert)
        .iter()
        .map(|(name, url)| format!("<p><a href=\"{0}\">{name}</a>: {0}</p>", safe(url)))
        .collect();
    format!(
        "<!DOCTYPE html><html lang=\"en\"><body><p><strong>{}</strong></p><p>{}</p><table>{rows}</table>{links}</body></html>",
        safe(&alert.summary),
        safe(&alert.description).replace('\n', "<br>"),
    )
}

fn safe(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('"', "&quot;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}
