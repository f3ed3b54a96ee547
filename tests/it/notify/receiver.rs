//! A receiver that answers as it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What one connection is answered.
#[derive(Clone)]
pub(super) enum Answer {
    /// This, and the end of the connection.
    Text(String),
    /// Nothing, and the connection stays open.
    Silence,
    /// This, and a body without end.
    Endless(String),
}

impl Answer {
    pub(super) fn status(status: &str) -> Self {
        Self::with(status, "", "")
    }

    pub(super) fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Text(format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }
}

pub(super) struct Receiver {
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// The last answer is given for ever.
    pub(super) async fn start(answers: impl Into<Vec<Answer>>) -> Self {
        let answers = answers.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            for index in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let answer = answers[index.min(answers.len() - 1)].clone();
                tokio::spawn(serve(stream, answer, Arc::clone(&log)));
            }
        });
        Self { port, requests }
    }

    /// What came so far: heads and bodies.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// A webhook's channel at a path that is secret.
    pub(super) fn webhook(&self) -> String {
        format!(
            "type = \"webhook\"\nurl = \"http://127.0.0.1:{}/{SECRET}\"\nsecret = \"{SECRET}\"\ntimeout_seconds = 2",
            self.port,
            SECRET = super::SECRET,
        )
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, log: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8(request).expect("text");
    log.lock().expect("no panic").push(text);
    match answer {
        Answer::Text(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Answer::Silence => sleep(Duration::from_secs(60)).await,
        Answer::Endless(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = header(head, "content-length").and_then(|text| text.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A header's value.
pub(super) fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let mut lines = request.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What a path of a server on this machine answers: the body.
pub(super) async fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    // Of an older protocol, in which a body is not cut into chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}
