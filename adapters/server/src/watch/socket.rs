//! One WebSocket connection to a server, from the client's end.

use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketRead, WebSocketWrite, handshake,
};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::connect::Connector;

/// How long a connection may take to be made, and how long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest message that is taken: a row may be large.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// So many messages wait to be handled before no more are read.
const AHEAD: usize = 64;

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
    pub(super) async fn connect(connector: &Connector) -> Result<Socket, String> {
        let url = &connector.url;
        let connecting = async {
            let stream = connector.connect().await?;
            let request = Request::get(url.path("/ws"))
                .header(HOST, &url.authority)
                .header(UPGRADE, "websocket")
                .header(CONNECTION, "upgrade")
                .header(SEC_WEBSOCKET_KEY, handshake::generate_key())
                .header(SEC_WEBSOCKET_VERSION, "13")
                .body(Empty::<Bytes>::new())
                .map_err(|error| error.to_string())?;
            let (socket, _) = handshake::client(&TokioExecutor::new(), request, stream)
                .await
                .map_err(|error| format!("no WebSocket there: {error}"))?;
            Ok::<_, String>(socket)
        };
        let mut socket = tokio::time::timeout(PATIENCE, connecting)
            .await
            .map_err(|_| format!("no connection in {PATIENCE:?}"))??;
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

async fn read_all(read: WebSocketRead<ReadHalf<Io>>, sender: mpsc::Sender<Incoming>) {
    let mut read = FragmentCollectorRead::new(read);
    // Pongs and closes are left to the owner, so nothing is sent from here.
    let mut send_nothing = async |_: Frame<'_>| Ok::<(), std::io::Error>(());
    loop {
        let incoming = match read.read_frame(&mut send_nothing).await {
            Ok(frame) => match frame.opcode {
                OpCode::Text => Incoming::Text(frame.payload.to_vec()),
                OpCode::Ping => Incoming::Ping(frame.payload.to_vec()),
                OpCode::Close => closed(&frame.payload),
                OpCode::Pong | OpCode::Binary | OpCode::Continuation => continue,
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
