//! A WebSocket client that writes the bytes of its frames itself, and follows no rules.

use liveset_fuzz::frames::{self, CLOSE, TEXT, frame};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{PATIENCE, TOKEN};

/// A right handshake, with more lines of headers where there are any.
pub fn upgrade(address: &str, more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n{more}\r\n"
    )
}

/// What the server says to the end of a connection, or until it is reset.
pub async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the end in time");
    said
}

/// A connection from this address, which is one of loopback's.
pub async fn stream_from(source: &str, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{source}:0").parse().expect("an address")).expect("an address of loopback");
    socket.connect(address.parse().expect("an address")).await.expect("the server accepts")
}

/// A connection of which the kernel holds little for the client.
pub async fn narrow(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket option");
    socket.connect(address.parse().expect("an address")).await.expect("the server accepts")
}

/// One connection.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    /// Connects, the handshake included.
    pub async fn connect(address: &str) -> Raw {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        Raw::over(stream, address).await
    }

    /// The same, where the kernel holds little for the client.
    pub async fn connect_narrow(address: &str) -> Raw {
        Raw::over(narrow(address).await, address).await
    }

    /// Connects from this address, which is one of loopback's.
    pub async fn connect_from(source: &str, address: &str) -> Raw {
        Raw::over(stream_from(source, address).await, address).await
    }

    async fn over(mut stream: TcpStream, address: &str) -> Raw {
        stream.set_nodelay(true).expect("a socket option");
        stream.write_all(upgrade(address, "").as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time");
            answer.push(byte.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer))));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        Raw { stream }
    }

    /// Connects and authenticates.
    pub async fn open(address: &str) -> Raw {
        let mut raw = Raw::connect(address).await;
        raw.authenticate(TOKEN).await;
        raw
    }

    pub async fn authenticate(&mut self, token: &str) {
        self.send_json(&json!({ "type": "auth", "token": token })).await;
        assert_eq!(self.receive_json().await, json!({ "type": "authenticated" }));
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// Sends what may not be taken whole, because the server closes in the middle.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("taken or refused in time").is_ok()
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send(&frame(true, TEXT, text.as_bytes())).await;
    }

    pub async fn send_json(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    /// The next frame: its opcode and payload; nothing at the end.
    pub async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, frames::read(&mut self.stream)).await.expect("a frame in time").ok()
    }

    /// The next message.
    pub async fn receive_json(&mut self) -> Value {
        let (opcode, payload) = self.receive().await.expect("a frame");
        assert_eq!(opcode, TEXT, "{}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// Sends a message and gives the next one that comes.
    pub async fn ask(&mut self, text: &str) -> Value {
        self.send_text(text).await;
        self.receive_json().await
    }

    /// The code of the error that comes next.
    pub async fn error(&mut self) -> String {
        let message = self.receive_json().await;
        assert_eq!(message["type"], "error", "{message}");
        message["code"].as_str().expect("a code").to_owned()
    }

    /// The code of the close frame that comes next, which is answered; nothing may follow it but the end.
    pub async fn close_code(&mut self) -> Option<u16> {
        let (opcode, payload) = self.receive().await.expect("a close frame");
        assert_eq!(opcode, CLOSE, "{}", String::from_utf8_lossy(&payload));
        let _ = self.stream.write_all(&frame(true, CLOSE, &payload)).await;
        assert_eq!(rest(&mut self.stream).await, b"", "nothing follows a close frame");
        payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]))
    }

    /// The connection works.
    pub async fn assert_alive(&mut self) {
        let pong = self.ask(r#"{"type":"ping","requestId":"alive"}"#).await;
        assert_eq!(pong, json!({ "type": "pong", "requestId": "alive" }));
    }

    /// Leaves as one should.
    pub async fn leave(mut self) {
        self.send(&frame(true, CLOSE, &1000_u16.to_be_bytes())).await;
        rest(&mut self.stream).await;
    }
}
