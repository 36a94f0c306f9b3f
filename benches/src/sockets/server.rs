//! The servers that are measured: Liveset, Liveset behind hyper's upgrade, and the least that could be there instead.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use fastwebsockets::{Frame, Payload, Role, WebSocketError, after_handshake_split};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use liveset::{AnyToken, Clock, Limits, Liveset, http::Endpoint};
use tokio::{
    io::BufWriter,
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    sync::broadcast::{self, error::RecvError, error::TryRecvError},
};

use super::Outcome;
use crate::live::orders_set;

/// How often tasks of connections were woken and run.
static POLLS: AtomicU64 = AtomicU64::new(0);
/// The size of the future that serves one connection.
static FUTURE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A runtime of so many threads; 0 are as many as there are CPUs.
pub(super) fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

/// An endpoint over orders, whose time is that of the commits. It takes any token.
pub(super) fn liveset(mut limits: Limits) -> Outcome<Liveset> {
    // All of them act for one subject.
    limits.hub.connections_per_subject = usize::MAX;
    limits.hub.live_queries_per_subject = usize::MAX;
    let builder = Liveset::builder().set(orders_set()).authenticator(AnyToken);
    Ok(builder.clock(Clock::Commits).limits(limits).build()?)
}

pub(super) fn polls() -> u64 {
    POLLS.load(Ordering::Relaxed)
}

pub(super) fn future_bytes() -> usize {
    FUTURE_BYTES.load(Ordering::Relaxed)
}

/// Serves connections whose frames begin at once. `send_buffer` bounds what the kernel takes for each.
pub(super) fn serve(
    runtime: &Runtime,
    liveset: &Liveset,
    send_buffer: Option<u32>,
) -> io::Result<SocketAddr> {
    let liveset = liveset.clone();
    accept(runtime, send_buffer, move |stream| {
        let liveset = liveset.clone();
        async move { liveset.serve(stream, None).await }
    })
}

/// Serves connections that come by HTTP.
pub(super) fn serve_http(runtime: &Runtime, liveset: &Liveset) -> io::Result<SocketAddr> {
    let endpoint = Endpoint::new(liveset.clone());
    accept(runtime, None, move |stream| {
        let endpoint = endpoint.clone();
        async move {
            let service = service_fn(move |mut request| {
                let response = endpoint.upgrade(&mut request);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .max_buf_size(16 * 1_024)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            let _ = served.await;
        }
    })
}

/// Writes prepared messages to every connection, by fastwebsockets' own halves: one task a connection, which takes what is
/// ready into a buffer of `batch_bytes` and flushes once for it.
pub(super) fn serve_bare(
    runtime: &Runtime,
    messages: &broadcast::Sender<Bytes>,
    batch_bytes: usize,
) -> io::Result<SocketAddr> {
    let messages = messages.clone();
    accept(runtime, None, move |stream| {
        let messages = messages.subscribe();
        async move {
            let _ = bare(stream, messages, batch_bytes).await;
        }
    })
}

async fn bare(
    stream: TcpStream,
    mut messages: broadcast::Receiver<Bytes>,
    batch_bytes: usize,
) -> Result<(), WebSocketError> {
    let (read_half, write_half) = tokio::io::split(stream);
    let write_half = BufWriter::with_capacity(batch_bytes, write_half);
    let (mut reader, mut writer) = after_handshake_split(read_half, write_half, Role::Server);
    let reading = async move {
        let mut no_reply = |_| async { Ok::<_, io::Error>(()) };
        loop {
            reader.read_frame(&mut no_reply).await?;
        }
    };
    let writing = async move {
        loop {
            let mut ready = match messages.recv().await {
                Ok(message) => Some(message),
                Err(RecvError::Lagged(_)) => panic!("the writer goes no faster than its readers"),
                Err(RecvError::Closed) => return Ok(()),
            };
            while let Some(message) = ready {
                writer.write_frame(Frame::text(Payload::Borrowed(&message))).await?;
                ready = match messages.try_recv() {
                    Ok(message) => Some(message),
                    Err(TryRecvError::Lagged(_)) => panic!("the writer goes no faster than its readers"),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => None,
                };
            }
            writer.flush().await?;
        }
    };
    // Neither goes on when the other is done: no frame is left in the middle.
    tokio::select! { ended = reading => ended, ended = writing => ended }
}

/// Accepts for as long as the runtime lives. Each connection is a task, whose turns are counted.
fn accept<F>(
    runtime: &Runtime,
    send_buffer: Option<u32>,
    connection: impl Fn(TcpStream) -> F + Send + 'static,
) -> io::Result<SocketAddr>
where
    F: Future<Output = ()> + Send + 'static,
{
    let _inside = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = send_buffer {
        // Accepted sockets take it over.
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener: TcpListener = socket.listen(4_096)?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let connection = connection(stream);
            FUTURE_BYTES.store(size_of_val(&connection), Ordering::Relaxed);
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                poll_fn(|cx| {
                    POLLS.fetch_add(1, Ordering::Relaxed);
                    connection.as_mut().poll(cx)
                })
                .await;
            });
        }
    });
    Ok(address)
}
