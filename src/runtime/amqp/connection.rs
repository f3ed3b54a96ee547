//! One connection to the broker, which can be cut at any time.
//!
//! lapin runs each connection on a thread of its own. That thread ends when the connection does, but a connection whose
//! handshake hangs, or that the broker blocks, does not end by being dropped: lapin has no timeout for the one, and
//! writes nothing, not even its farewell, on the other. So a second handle to the socket is kept, and shutting the socket
//! down through it ends the thread whatever it waits for.

use std::{
    fmt,
    future::Future,
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    pin::Pin,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, Event,
    uri::{AMQPScheme, AMQPUri},
};
use thiserror::Error;
use tokio::time::timeout;
use url::{Host, Url};

use super::{AmqpError, Settings};

/// Seconds, unless the URL has `heartbeat`. A peer that vanished is noticed after two of these.
const HEARTBEAT_SECONDS: u16 = 15;
/// Enough for a polite end; after it the socket is shut down.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the broker is and how to log in. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(AMQPUri);

/// Why a URL cannot be used. Never holds the URL itself, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0}; use amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…, with what is special in user, password or vhost \
     percent-encoded"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    /// An empty virtual host means `/`, as without any: nobody has one whose name is empty, but many write the slash.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = |problem: &str| AddressError(format!("the URL of RabbitMQ {problem}"));
        let url = Url::parse(text.trim()).map_err(|error| fail(&format!("is not one: {error}")))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(fail("begins neither with amqp:// nor with amqps://"));
        }
        let host = url.host().ok_or_else(|| fail("names no host"))?;
        // lapin's reasons may quote the URL.
        let mut uri: AMQPUri = text
            .trim()
            .parse()
            .map_err(|_| fail("has an option or an escape that cannot be read"))?;
        // lapin takes an IPv6 address for no host at all.
        if let Host::Ipv6(address) = host {
            uri.authority.host = address.to_string();
        }
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        if uri.vhost.len() > 255 {
            return Err(fail("names a vhost of more than 255 bytes"));
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self(uri))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.0.authority;
        let vhost = self.0.vhost.strip_prefix('/').unwrap_or(&self.0.vhost);
        let host = &authority.host;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let user = &authority.userinfo.username;
        let (scheme, port) = (&self.0.scheme, authority.port);
        write!(f, "{scheme}://{user}@{host}:{port}/{vhost}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Waits no longer than the broker may take to answer. lapin itself waits for ever.
pub(super) async fn in_time<T>(
    settings: &Settings,
    what: &'static str,
    answer: impl Future<Output = Result<T, AmqpError>>,
) -> Result<T, AmqpError> {
    let after = settings.answer_timeout;
    let result = timeout(after, answer).await;
    result.unwrap_or(Err(AmqpError::Timeout { what, after }))
}

/// A connection. Dropping it cuts it; [`Link::close`] says goodbye first.
pub(super) struct Link {
    connection: Connection,
    /// Never locked: the mutex makes a link shareable between threads, which this stream is not.
    events: Mutex<Pin<Box<dyn Stream<Item = Event> + Send>>>,
    _socket: Socket,
}

impl Link {
    /// Connects; `role` is the name that the broker shows.
    pub(super) async fn open(settings: &Settings, role: &str) -> Result<Self, AmqpError> {
        let fail = |problem: String| AmqpError::Connect {
            address: settings.address.to_string(),
            problem,
        };
        let socket = Socket::default();
        let handle = Arc::clone(&socket.0);
        let tls = match settings.address.0.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(
                settings
                    .tls
                    .connector()
                    .map_err(|error| fail(error.to_string()))?,
            ),
        };
        let limit = settings.connect_timeout;
        let connecting = Connection::connector(
            settings.address.0.clone(),
            lapin::runtime::default_runtime()?,
            async move |uri, runtime| {
                let host = uri.authority.host;
                let connect = async {
                    let addresses: Vec<_> =
                        tokio::net::lookup_host((host.as_str(), uri.authority.port))
                            .await?
                            .collect();
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    if let AsyncTcpStream::Plain(stream) = &stream {
                        handle.keep(stream.get_ref())?;
                    }
                    match &tls {
                        None => Ok(stream),
                        Some(connector) => stream.into_rustls(connector, &host).await,
                    }
                };
                let connected = timeout(limit, connect).await;
                Ok(connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?)
            },
            ConnectionProperties::default()
                .with_connection_name(format!("trailkeeper {role}").into())
                .with_client_property("product".into(), "trailkeeper".into())
                .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into()),
        );
        // When this runs out, the socket is dropped and thereby shut down, which ends lapin's attempt.
        let connection = timeout(limit, connecting)
            .await
            .map_err(|_| fail(format!("no answer within {} s", limit.as_secs())))?
            .map_err(|error| fail(error.to_string()))?;
        // The only listener: lapin hands each event to one listener, not to all.
        let events = Mutex::new(Box::pin(connection.events_listener()) as _);
        Ok(Self {
            connection,
            events,
            _socket: socket,
        })
    }

    pub(super) async fn channel(&self) -> Result<Channel, AmqpError> {
        Ok(self.connection.create_channel().await?)
    }

    /// Whether the broker has stopped reading what we publish.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// The next thing that happens to the connection: blocked or not, as a value; its end, as an error.
    pub(super) async fn happening(&mut self) -> Result<bool, AmqpError> {
        let events = self
            .events
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            match events.next().await {
                Some(Event::ConnectionBlocked(_)) => return Ok(true),
                Some(Event::ConnectionUnblocked) => return Ok(false),
                Some(Event::Error(error)) => return Err(error.into()),
                Some(_) => {}
                // Our own connection holds the sender, so this does not happen; it must not become a busy loop either.
                None => std::future::pending().await,
            }
        }
    }

    /// Says goodbye if that is possible in a moment.
    pub(super) async fn close(self) {
        // A failure is as good as a success: the connection is gone.
        let _ = timeout(CLOSE_TIMEOUT, self.connection.close(200, "OK".into())).await;
    }
}

/// Shuts a connection's socket down when dropped.
#[derive(Default)]
struct Socket(Arc<Handle>);

/// The second handle to a socket.
#[derive(Default)]
struct Handle(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Connecting,
    Open(TcpStream),
    Cut,
}

impl Handle {
    fn keep(&self, stream: &tokio::net::TcpStream) -> io::Result<()> {
        let copy = TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Cut) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = State::Open(copy);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(stream) = std::mem::replace(&mut *state, State::Cut) {
            // It fails if the peer was faster, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        url.parse::<Address>().unwrap().to_string()
    }

    #[test]
    fn shows_everything_but_the_password() {
        assert_eq!(
            shown("amqp://u:s%40cret@mq.example"),
            "amqp://u@mq.example:5672/"
        );
        assert_eq!(
            shown("amqps://u:secret@10.0.0.1:9/a%2fb"),
            "amqps://u@10.0.0.1:9/a/b"
        );
        assert_eq!(shown("amqp://[::1]/%2f"), "amqp://guest@[::1]:5672/");
        let address: Address = "amqp://u:secret@h/v".parse().unwrap();
        assert!(!format!("{address:?}").contains("secret"));
    }

    #[test]
    fn no_vhost_is_the_default_one() {
        for (url, vhost) in [
            ("amqp://h", "/"),
            ("amqp://h/", "/"),
            ("amqp://h/%2f", "/"),
            ("amqp://h//", "/"),
            ("amqp://h/qwed", "qwed"),
            ("amqp://h/%C3%A4", "ä"),
        ] {
            assert_eq!(url.parse::<Address>().unwrap().0.vhost, vhost, "{url}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_never_the_password() {
        for (url, part) in [
            ("mq.example", "is not one"),
            ("http://u:secret@h", "begins neither"),
            ("amqp://u:secret@h:99999", "is not one"),
            ("amqp:///v", "names no host"),
            ("amqp://u:secret@h/%ff", "cannot be read"),
            ("amqp://u:secret@h?heartbeat=x", "cannot be read"),
        ] {
            let error = url.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
