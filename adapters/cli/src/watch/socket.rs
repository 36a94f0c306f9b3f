//! One WebSocket connection to a server, from the client's end.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::handshake::generate_key;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{self, Client, Trouble};
use crate::load::frames::{self, CLOSE, Frames, PING, PONG, TEXT};

/// How long a connection may take to be made, and how long a write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest explanation that is read of a server that refuses.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// What is read at once.
const READ_BYTES: usize = 64 * 1024;

type Io = TokioIo<Upgraded>;

/// An answer of the server: a frame, or the end of the connection.
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

/// A connection.
pub(super) struct Socket {
    io: Io,
    frames: Frames,
    read: Box<[u8]>,
    /// What came, and was not taken yet: no more than one read brings.
    incoming: VecDeque<Incoming>,
}

impl Socket {
    pub(super) async fn connect(server: &Client) -> Result<Socket, Trouble> {
        let io = tokio::time::timeout(PATIENCE, handshake(server))
            .await
            .map_err(|_| Trouble::Passing(format!("no connection in {PATIENCE:?}")))??;
        Ok(Socket {
            io,
            frames: Frames::default(),
            read: vec![0; READ_BYTES].into(),
            incoming: VecDeque::new(),
        })
    }

    /// The next frame. Can be dropped and called again.
    pub(super) async fn next(&mut self) -> Incoming {
        let Socket { io, frames, read, incoming } = self;
        loop {
            if let Some(next) = incoming.pop_front() {
                return next;
            }
            let count = match io.read(read).await {
                Ok(0) => return Incoming::Lost("the connection ended".into()),
                Ok(count) => count,
                Err(error) => return Incoming::Lost(error.to_string()),
            };
            let taken = frames.read(&read[..count], |opcode, payload| match opcode {
                TEXT => incoming.push_back(Incoming::Text(payload.to_vec())),
                PING => incoming.push_back(Incoming::Ping(payload.to_vec())),
                CLOSE => incoming.push_back(closed(payload)),
                // Pongs, and what is binary, mean nothing.
                _ => {}
            });
            if let Err(error) = taken {
                incoming.push_back(Incoming::Lost(error.to_owned()));
            }
        }
    }

    /// Sends a message. After an error the connection is of no use.
    pub(super) async fn send(&mut self, text: &[u8]) -> Result<(), String> {
        self.write(TEXT, text).await
    }

    /// Answers a ping.
    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), String> {
        self.write(PONG, payload).await
    }

    /// Says goodbye; whether anybody hears it does not matter.
    pub(super) async fn close(mut self) {
        if self.write(CLOSE, &1000_u16.to_be_bytes()).await.is_ok() {
            let answered =
                async { while !matches!(self.next().await, Incoming::Closed(..) | Incoming::Lost(_)) {} };
            let _ = tokio::time::timeout(Duration::from_millis(500), answered).await;
        }
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<(), String> {
        // The standard library seeds its hashers from the system.
        let mask = RandomState::new().hash_one(payload.len()) as u32;
        let mut frame = Vec::new();
        frames::write(opcode, payload, mask, &mut frame);
        let writing = async {
            self.io.write_all(&frame).await?;
            self.io.flush().await
        };
        match tokio::time::timeout(PATIENCE, writing).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the server took nothing for {PATIENCE:?}")),
        }
    }
}

/// Connects and asks for the upgrade.
async fn handshake(server: &Client) -> Result<Io, Trouble> {
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
    Ok(TokioIo::new(upgraded))
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

fn closed(payload: &[u8]) -> Incoming {
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    Incoming::Closed(code, reason)
}
