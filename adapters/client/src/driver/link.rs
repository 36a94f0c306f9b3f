//! One WebSocket connection to a server.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Future, ready};
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fastwebsockets::handshake::generate_key;
use fastwebsockets::{
    Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, WebSocketWrite, after_handshake_split,
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming as Body;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::address::Address;
use crate::error::{Error, WrongServer};

/// Messages that were read and not taken yet.
const WAITING: usize = 16;
/// The largest message. A server sends one row at least, which is 1 MiB at most by its own default.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// The largest explanation that is read of a server that refuses.
const MAX_REFUSAL_BYTES: usize = 4 * 1024;
/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

type Io = TokioIo<Upgraded>;

/// What comes over a connection.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message.
    Text(BytesMut),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// The connection has ended, for this reason.
    End(String),
}

/// A connection.
pub(super) struct Link {
    incoming: mpsc::Receiver<Incoming>,
    write: WebSocketWrite<BufWriter<WriteHalf<Io>>>,
    patience: Duration,
    _reader: AbortOnDrop,
}

/// A task that does not outlive this.
struct AbortOnDrop(AbortHandle);

impl AbortOnDrop {
    fn of(task: &JoinHandle<()>) -> AbortOnDrop {
        AbortOnDrop(task.abort_handle())
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Connects, in as much time as is given.
    pub(super) async fn connect(
        address: &Address,
        tls: Option<Arc<ClientConfig>>,
        patience: Duration,
    ) -> Result<Link, Error> {
        let connecting = async {
            let tcp = TcpStream::connect((&*address.host, address.port)).await.map_err(away)?;
            tcp.set_nodelay(true).map_err(away)?;
            match tls {
                None => handshake(address, tcp).await,
                Some(tls) => {
                    let name = ServerName::try_from(address.host.clone()).map_err(away)?;
                    let stream = TlsConnector::from(tls).connect(name, tcp).await;
                    handshake(address, stream.map_err(|error| trouble(&error))?).await
                }
            }
        };
        let io = timeout(patience, connecting)
            .await
            .unwrap_or_else(|_| Err(away(format!("no connection in {patience:?}"))))?;
        Ok(Link::over(io, patience))
    }

    fn over(io: Io, patience: Duration) -> Link {
        let (read, write) = tokio::io::split(io);
        // Without a buffer each frame is a packet of its own.
        let (mut read, write) = after_handshake_split(read, BufWriter::new(write), Role::Client);
        read.set_auto_close(false);
        read.set_auto_pong(false);
        read.set_max_message_size(MAX_MESSAGE_BYTES);
        let (sender, incoming) = mpsc::channel(WAITING);
        // `read_frame` cannot be given up in the middle, so a task of its own does nothing else.
        let reader = tokio::spawn(async move {
            let end = read_all(read, &sender).await;
            // Nobody is there to be told, where the link was dropped.
            let _ = sender.send(Incoming::End(end)).await;
        });
        Link { incoming, write, patience, _reader: AbortOnDrop::of(&reader) }
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Incoming {
        let next = self.incoming.recv().await;
        next.unwrap_or_else(|| Incoming::End("the connection was lost".into()))
    }

    /// What has come already.
    pub(super) fn try_next(&mut self) -> Option<Incoming> {
        self.incoming.try_recv().ok()
    }

    /// Writes a message; [`flush`](Link::flush) sends it. After an error, or given up, the connection is of no use.
    pub(super) async fn write(&mut self, text: Vec<u8>) -> Result<(), String> {
        self.frame(Frame::text(Payload::Owned(text))).await
    }

    /// Answers a ping.
    pub(super) async fn pong(&mut self, payload: Bytes) -> Result<(), String> {
        self.frame(Frame::pong(Payload::Owned(payload.into()))).await?;
        self.flush().await
    }

    async fn frame(&mut self, frame: Frame<'static>) -> Result<(), String> {
        in_time(self.patience, self.write.write_frame(frame)).await
    }

    pub(super) async fn flush(&mut self) -> Result<(), String> {
        in_time(self.patience, self.write.flush()).await
    }

    /// Says goodbye; whether anybody hears it does not matter.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            self.frame(Frame::close(1000, b"")).await?;
            self.flush().await?;
            while !matches!(self.next().await, Incoming::End(_)) {}
            Ok::<(), String>(())
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

async fn in_time<E: ToString>(
    patience: Duration,
    write: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    match timeout(patience, write).await {
        Ok(written) => written.map_err(told),
        Err(_) => Err(format!("the server took nothing for {patience:?}")),
    }
}

/// Asks for the upgrade.
async fn handshake<S>(address: &Address, stream: S) -> Result<Io, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connecting = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connecting.map_err(|error| trouble(&error))?;
    // It ends with the upgrade. Until then it does not outlive the attempt.
    let serving = tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let _serving = AbortOnDrop::of(&serving);
    let request = Request::get(&address.path)
        .header(HOST, &address.authority)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(Empty::<Bytes>::new())
        .map_err(away)?;
    let mut answer = sender.send_request(request).await.map_err(|error| trouble(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(answer).await);
    }
    hyper::upgrade::on(&mut answer).await.map(TokioIo::new).map_err(away)
}

/// A server's refusal.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

/// What an answer means that is no upgrade. Only a server that is overloaded or broken, or a proxy whose server is away, may answer
/// otherwise later.
async fn refused(answer: Response<Body>) -> Error {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_REFUSAL_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let said = serde_json::from_slice(&body)
        .map(|Refusal { code, message }| format!(" ({code}: {message})"))
        .unwrap_or_default();
    let may_pass = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        );
    match may_pass {
        true => away(format!("answered with {status}{said}")),
        false => WrongServer::NoWebSocket(format!("{status}{said}").into()).into(),
    }
}

/// What an error says of the other end. One of TLS, or of what is no HTTP, comes again with every attempt; one of the network may pass.
fn trouble(error: &(dyn StdError + 'static)) -> Error {
    let mut last = error;
    for cause in causes(error) {
        if let Some(problem) = cause.downcast_ref::<rustls::Error>() {
            let told = told(problem).into();
            return match problem {
                rustls::Error::InvalidCertificate(_) => WrongServer::NotTrusted(told).into(),
                _ => WrongServer::NotTls(told).into(),
            };
        }
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return WrongServer::NotHttp(told(cause).into()).into();
        }
        last = cause;
    }
    away(last)
}

/// An error and what it came from. What `std::io::Error` holds is no source of it, but what it is.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn StdError + 'static)).or(error.source())
    })
}

fn away(problem: impl ToString) -> Error {
    Error::Offline(told(problem).into())
}

/// Reads until the connection ends, or nobody wants to know; gives the reason.
async fn read_all(mut read: WebSocketRead<ReadHalf<Io>>, sender: &mpsc::Sender<Incoming>) -> String {
    // A message whose last fragment has not come.
    let mut open: Option<BytesMut> = None;
    loop {
        // Nothing is sent from here.
        let frame = read.read_frame(&mut |_| ready(Ok::<_, Infallible>(()))).await;
        let frame = match frame {
            Ok(frame) => frame,
            Err(WebSocketError::UnexpectedEOF) => return "the connection ended".into(),
            Err(error) => return error.to_string(),
        };
        let payload = match frame.payload {
            Payload::Bytes(bytes) => bytes,
            other => BytesMut::from(&*other),
        };
        let message = match (frame.opcode, open.take()) {
            (OpCode::Text, None) => payload,
            (OpCode::Continuation, Some(mut begun)) => {
                if begun.len() + payload.len() > MAX_MESSAGE_BYTES {
                    return "the server sent a message that is too large".into();
                }
                begun.extend_from_slice(&payload);
                begun
            }
            (OpCode::Ping, unfinished) => {
                open = unfinished;
                if sender.send(Incoming::Ping(payload.freeze())).await.is_err() {
                    return String::new();
                }
                continue;
            }
            (OpCode::Pong, unfinished) => {
                open = unfinished;
                continue;
            }
            (OpCode::Close, _) => return closed(&payload),
            _ => return "the server broke the rules of WebSockets".into(),
        };
        if !frame.fin {
            open = Some(message);
        } else if sender.send(Incoming::Text(message)).await.is_err() {
            return String::new();
        }
    }
}

fn closed(payload: &[u8]) -> String {
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    let code = code.map(|code| format!(" with {code}")).unwrap_or_default();
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    format!("the server closed{code} {reason}").trim_end().to_owned()
}

fn told(error: impl ToString) -> String {
    error.to_string()
}
