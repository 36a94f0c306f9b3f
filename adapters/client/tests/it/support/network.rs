//! A network between client and server that cuts, stalls and delays.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How the network is.
#[derive(Debug, Clone, Copy)]
struct Weather {
    server: SocketAddr,
    /// Before each piece goes on.
    delay: Duration,
    /// The largest piece.
    bytes: usize,
    is_open: bool,
}

/// A network. All of it ends when it is dropped.
pub struct Network {
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Counts stalls: connections that are older than the last one are silent for ever.
    stalls: watch::Sender<u32>,
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
    listening: AbortHandle,
}

impl Network {
    pub async fn to(server: SocketAddr) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Weather { server, delay: Duration::ZERO, bytes: 64 * 1024, is_open: true };
        let (weather, now) = watch::channel(weather);
        let (stalls, stalled) = watch::channel(0);
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let kept = tasks.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let task = tokio::spawn(carry(client, now.clone(), stalled.clone()));
                kept.lock().unwrap().push(task.abort_handle());
            }
        });
        Network { address, weather, stalls, tasks, listening: listening.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Later connections lead there.
    pub fn lead_to(&self, server: SocketAddr) {
        self.weather.send_modify(|weather| weather.server = server);
    }

    pub fn slow(&self, delay: Duration, bytes: usize) {
        self.weather.send_modify(|weather| (weather.delay, weather.bytes) = (delay, bytes));
    }

    /// Whether there can be new connections.
    pub fn open(&self, is_open: bool) {
        self.weather.send_modify(|weather| weather.is_open = is_open);
    }

    /// All connections end. What is on the way is lost.
    pub fn cut(&self) {
        self.tasks.lock().unwrap().drain(..).for_each(|task| task.abort());
    }

    /// All connections go silent, and nobody is told.
    pub fn stall(&self) {
        self.stalls.send_modify(|stalls| *stalls += 1);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

async fn carry(client: TcpStream, weather: watch::Receiver<Weather>, stalls: watch::Receiver<u32>) {
    let Weather { server, is_open, .. } = *weather.borrow();
    let Ok(server) = TcpStream::connect(server).await else { return };
    if !is_open {
        return;
    }
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let born = *stalls.borrow();
    // Whoever ends first ends both.
    tokio::select! {
        () = pump(from_client, to_server, weather.clone(), stalls.clone(), born) => {}
        () = pump(from_server, to_client, weather, stalls, born) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    mut stalls: watch::Receiver<u32>,
    born: u32,
) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let Weather { delay, bytes, .. } = *weather.borrow();
        let read = tokio::select! {
            read = from.read(&mut piece[..bytes]) => read,
            Ok(_) = stalls.wait_for(|stalls| *stalls != born) => break,
        };
        let Ok(read @ 1..) = read else { return };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
    // Both ends stay open, and nothing comes through.
    std::future::pending::<()>().await;
}
