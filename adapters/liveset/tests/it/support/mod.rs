//! What the tests over sockets share: an endpoint on loopback, a client that we did not write, and one that follows no
//! rules.
#![allow(unreachable_pub, reason = "a test has no outside")]

pub mod bystander;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use liveset::{AnyToken, Builder, Limits, Liveset, SetDef};
use liveset_fuzz::frames::{self, CLOSE, TEXT, frame};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Longer than anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An endpoint with a set `orders`, the stock resources, and any token.
pub fn builder() -> Builder {
    Liveset::builder().set(SetDef::new("orders")).authenticator(AnyToken)
}

pub fn limited(change: impl FnOnce(&mut Limits)) -> Liveset {
    let mut limits = Limits::default();
    change(&mut limits);
    builder().limits(limits).build().unwrap()
}

/// Serves `liveset` on a port of its own, without an HTTP handshake before it.
pub async fn listen(liveset: &Liveset) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let liveset = liveset.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let liveset = liveset.clone();
            tokio::spawn(async move { liveset.serve(stream, None).await });
        }
    });
    address
}

/// A pipe of so many bytes that is served, and the task that does.
pub fn pipe(liveset: &Liveset, bytes: usize) -> (DuplexStream, JoinHandle<()>) {
    let (server, client) = tokio::io::duplex(bytes);
    let liveset = liveset.clone();
    (client, tokio::spawn(async move { liveset.serve(server, None).await }))
}

/// A client over tungstenite.
pub struct Client<S> {
    socket: WebSocketStream<S>,
}

pub async fn connect(address: SocketAddr) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Client::over(stream).await
}

/// A client for which the kernel holds little, so that it is soon seen not to read.
pub async fn narrow(address: SocketAddr) -> Client<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut client = Client::over(socket.connect(address).await.unwrap()).await;
    client.authenticate().await;
    client
}

/// A client that is authenticated already.
pub async fn authenticated(address: SocketAddr) -> Client<TcpStream> {
    let mut client = connect(address).await;
    client.authenticate().await;
    client
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn over(stream: S) -> Self {
        Self { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await }
    }

    pub async fn authenticate(&mut self) {
        self.send(json!({ "type": "auth", "token": "t" })).await;
        assert_eq!(self.receive().await, json!({ "type": "authenticated" }));
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next message of the protocol; pings of the protocol are answered and left out.
    pub async fn receive(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == "ping" {
                        self.send(json!({ "type": "pong" })).await;
                        continue;
                    }
                    return message;
                }
                other => panic!("not a text message: {other:?}"),
            }
        }
    }

    pub async fn next(&mut self) -> Message {
        timeout(PATIENCE, self.socket.next()).await.expect("a message in time").expect("a message").unwrap()
    }

    /// The code of the error that comes next.
    pub async fn error(&mut self) -> String {
        let message = self.receive().await;
        assert_eq!(message["type"], "error", "{message}");
        message["code"].as_str().unwrap().to_owned()
    }

    /// The code of the close frame that comes next; the socket ends after it.
    pub async fn close_code(&mut self) -> u16 {
        let code = match self.next().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not a close frame: {other:?}"),
        };
        let end = timeout(PATIENCE, self.socket.next()).await.expect("the end in time");
        assert!(end.is_none(), "{end:?}");
        code
    }

    /// Creates a live query over `orders` and gives its first rows.
    pub async fn create(&mut self, id: &str, query: Value) -> Vec<Value> {
        self.send(json!({ "type": "createLiveQuery", "id": id, "query": query })).await;
        let created = self.receive().await;
        assert_eq!(created["type"], "liveQueryCreated", "{created}");
        let mut rows = Vec::new();
        loop {
            let data = self.receive().await;
            assert_eq!(data["type"], "liveQueryData", "{data}");
            rows.extend(data["data"].as_array().unwrap().iter().cloned());
            if data["hasMore"] == false {
                return rows;
            }
        }
    }

    /// Asserts that the connection works.
    pub async fn assert_alive(&mut self) {
        self.send(json!({ "type": "ping" })).await;
        assert_eq!(self.receive().await, json!({ "type": "pong" }));
    }

    pub async fn close(&mut self) {
        self.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = timeout(PATIENCE, self.socket.next()).await.expect("the end in time") {}
    }

    pub fn into_inner(self) -> WebSocketStream<S> {
        self.socket
    }
}

/// A client that writes the bytes of its frames itself.
pub struct Raw<S> {
    pub stream: S,
}

pub async fn raw(address: SocketAddr) -> Raw<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Raw { stream }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends what may not be taken whole, because the connection is closed in the middle.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub async fn text(&mut self, text: &str) {
        self.send(&frame(true, TEXT, text.as_bytes())).await;
    }

    /// The next frame: its opcode and payload. `None` at the end.
    pub async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, frames::read(&mut self.stream)).await.expect("a frame in time").ok()
    }

    pub async fn receive_json(&mut self) -> Value {
        let (opcode, payload) = self.receive().await.expect("a frame");
        assert_eq!(opcode, TEXT);
        serde_json::from_slice(&payload).unwrap()
    }

    pub async fn authenticate(&mut self) {
        self.text(r#"{"type":"auth","token":"t"}"#).await;
        assert_eq!(self.receive_json().await, json!({ "type": "authenticated" }));
    }

    /// A live query `q` over all orders, which is answered.
    pub async fn watch_orders(&mut self) {
        self.text(r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"}}"#).await;
        assert_eq!(self.receive_json().await["type"], "liveQueryCreated");
        assert_eq!(self.receive_json().await["type"], "liveQueryData");
    }

    /// The code of the close frame that comes next. Nothing may come after it but the end.
    pub async fn close_code(&mut self) -> Option<u16> {
        let (opcode, payload) = self.receive().await.expect("a close frame");
        assert_eq!(opcode, CLOSE, "{}", String::from_utf8_lossy(&payload));
        let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
        // Answer it, so that the server need not wait.
        let _ = self.stream.write_all(&frame(true, CLOSE, &payload)).await;
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the end in time");
        assert_eq!(rest, b"", "nothing follows a close frame");
        code
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in time: {what}"));
}
