//! One WebSocket connection to a server, from the client's end.

use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::handshake::generate_key;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketRead, WebSocketWrite};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::client::{self, Client, Trouble};

/// How long a connection may take to be made, and how long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message that is taken: a row may be large.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// The largest explanation that is read of a server that refuses.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// So many messages wait to be handled before no more are read: few, as each may be large.
const AHEAD: usize = 4;

type Io = TokioIo<Upgraded>;

/// What came from the server.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message.
    Text(Vec<u8>),
    /// To be answered with a pong of the same payload.
    Ping(Vec<u8>),
    /// The server closed, with this code and reason.
    Closed(Option<u16>, String),
    /// The connection broke.
    Lost(String),
}

/// A connection. A task of its own reads, because a read that was begun must not be dropped.
pub(super) struct Socket {
    incoming: mpsc::Receiver<Incoming>,
    write: WebSocketWrite<WriteHalf<Io>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Socket {
    pub(super) async fn connect(server: &Client) -> Result<Socket, Trouble> {
        let mut socket = tokio::time::timeout(PATIENCE, handshake(server))
            .await
            .map_err(|_| Trouble::Passing(format!("no connection in {PATIENCE:?}")))??;
        socket.set_auto_pong(false);
        socket.set_auto_close(false);
        socket.set_max_message_size(MAX_MESSAGE_BYTES);
        let (read, write) = socket.split(tokio::io::split);
        let (sender, incoming) = mpsc::channel(AHEAD);
        let reading = tokio::spawn(read_all(read, sender));
        Ok(Socket { incoming, write, reading })
    }

    /// What comes next. Can be dropped and called again.
    pub(super) async fn next(&mut self) -> Incoming {
        self.incoming.recv().await.unwrap_or_else(|| Incoming::Lost("the connection ended".into()))
    }

    /// Sends a message. After an error the connection is of no use.
    pub(super) async fn send(&mut self, text: &[u8]) -> Result<(), String> {
        self.write(Frame::text(Payload::Borrowed(text))).await
    }

    /// Answers a ping.
    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), String> {
        self.write(Frame::pong(Payload::Borrowed(payload))).await
    }

    /// Says goodbye; whether anybody hears it does not matter.
    pub(super) async fn close(mut self) {
        if self.write(Frame::close(1000, b"")).await.is_ok() {
            let answered =
                async { while !matches!(self.next().await, Incoming::Closed(..) | Incoming::Lost(_)) {} };
            let _ = tokio::time::timeout(Duration::from_millis(500), answered).await;
        }
    }

    async fn write(&mut self, frame: Frame<'_>) -> Result<(), String> {
        let writing = async {
            self.write.write_frame(frame).await?;
            self.write.flush().await
        };
        match tokio::time::timeout(PATIENCE, writing).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the server took nothing for {PATIENCE:?}")),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Connects and asks for the upgrade.
async fn handshake(server: &Client) -> Result<WebSocket<Io>, Trouble> {
    let request = Request::get(server.url.path("/ws"))
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(Full::new(Bytes::new()))
        .map_err(|error| Trouble::Lasting(error.to_string()))?;
    let mut answer = server.request(request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(answer).await);
    }
    let upgraded = hyper::upgrade::on(&mut answer).await.map_err(|error| server.trouble(&error))?;
    Ok(WebSocket::after_handshake(TokioIo::new(upgraded), Role::Client))
}

/// What an answer means that is no upgrade. Only a server that is overloaded or broken, or a proxy whose server is away,
/// may answer otherwise later.
async fn refused(answer: Response<hyper::body::Incoming>) -> Trouble {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_REFUSAL_BYTES).collect().await;
    let said = body.ok().and_then(|body| client::refusal(&body.to_bytes()));
    let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
    let may_pass = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        );
    match may_pass {
        true => Trouble::Passing(format!("answered with {status}{said}")),
        false => Trouble::Lasting(format!(
            "no WebSocket is there: answered with {status}{said}; the address is that of the server, or of its /ws"
        )),
    }
}

async fn read_all(mut read: WebSocketRead<ReadHalf<Io>>, sender: mpsc::Sender<Incoming>) {
    let mut joining = Joining::default();
    // Pongs and closes are left to the owner, so nothing is sent from here.
    let mut send_nothing = async |_: Frame<'_>| Ok::<(), std::io::Error>(());
    loop {
        let incoming = match read.read_frame(&mut send_nothing).await {
            Ok(frame) => match frame.opcode {
                OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                    match joining.take(frame.opcode, frame.fin, &frame.payload, MAX_MESSAGE_BYTES) {
                        Ok(Some(text)) => Incoming::Text(text),
                        Ok(None) => continue,
                        Err(error) => Incoming::Lost(error.to_owned()),
                    }
                }
                OpCode::Ping => Incoming::Ping(frame.payload.to_vec()),
                OpCode::Close => closed(&frame.payload),
                OpCode::Pong => continue,
            },
            Err(error) => Incoming::Lost(error.to_string()),
        };
        let ends = matches!(incoming, Incoming::Closed(..) | Incoming::Lost(_));
        if sender.send(incoming).await.is_err() || ends {
            return;
        }
    }
}

fn closed(payload: &[u8]) -> Incoming {
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    Incoming::Closed(code, reason)
}

/// The message whose fragments are being joined. The library's own limit is one of frames, of which there may be any number.
#[derive(Default)]
struct Joining {
    open: Option<Vec<u8>>,
    is_text: bool,
}

impl Joining {
    /// Takes a frame of data; gives the text that it completes. What is binary is counted, and thrown away.
    fn take(
        &mut self,
        opcode: OpCode,
        fin: bool,
        payload: &[u8],
        limit: usize,
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let mut message = match (opcode, self.open.take()) {
            (OpCode::Continuation, Some(message)) => message,
            (OpCode::Continuation, None) => {
                return Err("the server continued a message that it had not begun");
            }
            (_, Some(_)) => return Err("the server began a message inside of another"),
            (_, None) => {
                self.is_text = opcode == OpCode::Text;
                Vec::new()
            }
        };
        if payload.len() > limit.saturating_sub(message.len()) {
            return Err("the server sent a message that is too large");
        }
        message.extend_from_slice(payload);
        if !fin {
            self.open = Some(message);
            return Ok(None);
        }
        Ok(self.is_text.then_some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_joined_up_to_a_limit() {
        use OpCode::{Binary, Continuation, Text};
        let mut joining = Joining::default();
        let mut take = |opcode, fin, payload: &[u8]| joining.take(opcode, fin, payload, 5);
        assert_eq!(take(Text, true, b"whole"), Ok(Some(b"whole".to_vec())));
        assert_eq!(take(Text, false, b"he"), Ok(None));
        assert_eq!(take(Continuation, false, b""), Ok(None));
        assert_eq!(take(Continuation, true, b"llo"), Ok(Some(b"hello".to_vec())));
        assert_eq!(take(Binary, false, b"no"), Ok(None));
        assert_eq!(take(Continuation, true, b"text"), Err("the server sent a message that is too large"));
        assert_eq!(take(Binary, true, b"no"), Ok(None), "is not text");
        assert_eq!(take(Text, true, b"larger"), Err("the server sent a message that is too large"));
        assert!(take(Continuation, true, b"").is_err());
        assert_eq!(take(Text, false, b"abc"), Ok(None));
        assert_eq!(take(Continuation, false, b"def"), Err("the server sent a message that is too large"));
        assert_eq!(take(Text, false, b""), Ok(None));
        assert!(take(Text, true, b"").is_err(), "inside of another");
    }
}
