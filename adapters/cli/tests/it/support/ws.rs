//! A WebSocket client over `tokio-tungstenite`.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{PATIENCE, TOKEN};

/// One connection.
pub struct Ws {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What came.
#[derive(Debug)]
pub enum Came {
    Message(Value),
    /// The close frame's code.
    Closed(u16),
}

impl Ws {
    pub async fn connect(address: &str) -> Ws {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/ws"))
            .await
            .expect("the server upgrades");
        Ws { socket }
    }

    /// Connects as a page of this origin does.
    pub async fn connect_from(address: &str, origin: &str) -> Ws {
        Ws::connect_with(address, &[("origin", origin)]).await
    }

    /// Connects with more headers.
    pub async fn connect_with(address: &str, headers: &[(&'static str, &str)]) -> Ws {
        let mut request = format!("ws://{address}/ws").into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("the server upgrades");
        Ws { socket }
    }

    /// Connects with a receive buffer as small as it can be made.
    pub async fn connect_narrow(address: &str) -> Ws {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a socket option");
        let stream = socket.connect(address.parse().expect("an address")).await.expect("the server accepts");
        let (socket, _) =
            tokio_tungstenite::client_async(format!("ws://{address}/ws"), MaybeTlsStream::Plain(stream))
                .await
                .expect("the server upgrades");
        Ws { socket }
    }

    /// Connects and authenticates.
    pub async fn open(address: &str) -> Ws {
        let mut ws = Ws::connect(address).await;
        ws.authenticate().await;
        ws
    }

    pub async fn authenticate(&mut self) {
        let answer = self.ask(json!({ "type": "auth", "token": TOKEN })).await;
        assert_eq!(answer, json!({ "type": "authenticated" }));
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("the server reads");
    }

    /// The next message or close. Transport pings are answered by the library.
    pub async fn came(&mut self) -> Came {
        tokio::time::timeout(PATIENCE, self.came_whenever()).await.expect("a message in time")
    }

    /// The same, however long it takes.
    pub async fn came_whenever(&mut self) -> Came {
        loop {
            let message = self.socket.next().await;
            match message.expect("the connection ended without a close frame").expect("a WebSocket message") {
                Message::Text(text) => {
                    return Came::Message(serde_json::from_str(&text).expect("every message is JSON"));
                }
                Message::Close(frame) => return Came::Closed(frame.expect("a close code").code.into()),
                Message::Binary(_) => panic!("a binary message"),
                _ => {}
            }
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        match self.came().await {
            Came::Message(message) => message,
            Came::Closed(code) => panic!("closed with {code}"),
        }
    }

    /// Asserts that the server closes now, and with which code.
    pub async fn expect_close(&mut self, code: u16) {
        match self.came().await {
            Came::Closed(found) => assert_eq!(found, code),
            Came::Message(message) => panic!("no close but {message}"),
        }
    }

    /// Sends a request and returns the next message.
    pub async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }
}
