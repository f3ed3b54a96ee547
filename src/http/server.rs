//! The listener: connections, TLS, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::Request,
    routing::{MethodFilter, on},
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    api::Api,
    dispatch::{self, Peer},
    route::table,
    tls,
};

/// How long a handshake, or the head of a request, may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may take to end when the program is to.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of the listener, as when no more files may be opened.
const PAUSE: Duration = Duration::from_millis(100);

/// The interface, ready to answer.
pub struct Interface {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Arc<Api>,
}

impl Interface {
    /// Listens; answers once it is [served](Self::serve).
    ///
    /// # Errors
    /// If the address cannot be had, or the certificate is of no use.
    pub async fn listen(address: SocketAddr, api: Arc<Api>) -> anyhow::Result<Self> {
        let tls = tls::acceptor(&api.services.config.http)?;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; set http.listen to an address that is free")
        })?;
        Ok(Self { listener, tls, api })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the socket is not bound, which it is.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`, and then what is under way.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { listener, tls, api } = self;
        let places = api.services.config.http.max_connections as usize;
        let places = Arc::new(Semaphore::new(places));
        let router = router(&api);
        let ending = GracefulShutdown::new();
        loop {
            // A connection that has no place yet waits in the system's queue.
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let Some((place, accepted)) = stop.run_until_cancelled(next).await else {
                break;
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (router, tls, watcher) = (router.clone(), tls.clone(), ending.watcher());
            tokio::spawn(async move {
                let _place = place;
                let _ = stream.set_nodelay(true);
                match tls {
                    None => converse(stream, peer, router, watcher).await,
                    Some(tls) => {
                        if let Some(stream) = shake_hands(&tls, stream).await {
                            converse(stream, peer, router, watcher).await;
                        }
                    }
                }
            });
        }
        drop(listener);
        if tokio::time::timeout(END_TIMEOUT, ending.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests were cut off");
        }
    }
}

async fn shake_hands(
    tls: &TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let shaken = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await;
    shaken.ok()?.ok()
}

/// Answers the requests of a connection.
async fn converse<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer.ip()));
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the other side's business.
    let _ = watcher.watch(connection).await;
}

/// The router of all routes.
pub fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in table() {
        let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        let api = Arc::clone(api);
        let answer = move |request: Request| dispatch::to_route(Arc::clone(&api), route, request);
        router = router.route(route.path, on(filter, answer));
    }
    let (missing, wrong) = (Arc::clone(api), Arc::clone(api));
    router
        .fallback(move |request: Request| async move {
            dispatch::to_nothing(&missing, request.uri(), dispatch::nothing_there())
        })
        .method_not_allowed_fallback(move |request: Request| async move {
            dispatch::to_nothing(&wrong, request.uri(), dispatch::method_not_allowed())
        })
}
