//! Pings are answered where the client reads: one that does not can neither hold up the reader nor fill our memory.

use liveset_fuzz::frames::{PING, PONG, frame};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::support::{self, bystander::Bystander};
use crate::support::{PATIENCE, Raw, builder, limited, listen};

const PINGS: u32 = 20_000;

/// A socket for which the kernel holds little in either direction: far less than so many pings or pongs.
fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(16 * 1024).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket
}

/// A ping with a number in it, as long as a control frame may be.
fn ping(number: u32) -> Vec<u8> {
    let mut payload = [0; 125];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    frame(true, PING, &payload)
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_latest_pong_only() {
    let liveset = limited(|limits| {
        limits.transport.control_frames_per_second = u32::MAX;
        limits.transport.control_burst = u32::MAX;
    });
    let mut bystander = Bystander::join(&liveset, listen(&liveset).await).await;
    let (listening, connecting) = (socket(), socket());
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listening.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(connecting.connect(address), listener.accept());
    let (mut peer, (stream, _)) = (Raw { stream: connected.unwrap() }, accepted.unwrap());
    let serving = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.serve(stream, None).await }
    });
    peer.authenticate().await;

    // 2.6 MB of pings, of which not a pong is read. A reader that wrote them itself would stand still, and so would we.
    let sending = async {
        for from in (0..PINGS).step_by(1_000) {
            let pings: Vec<u8> = (from..from + 1_000).flat_map(ping).collect();
            peer.stream.write_all(&pings).await.unwrap();
        }
    };
    timeout(PATIENCE, sending).await.expect("the pings are read");
    bystander.assert_served().await;

    // What the kernels held, in order, and then the latest: most are passed over.
    let (mut answered, mut latest) = (0, None);
    while latest != Some(PINGS - 1) {
        let (opcode, payload) = peer.receive().await.expect("a pong");
        assert_eq!((opcode, payload.len()), (PONG, 125));
        let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
        assert!(latest.is_none_or(|latest| latest < number), "{number} after {latest:?}");
        latest = Some(number);
        answered += 1;
    }
    assert!(answered < PINGS / 4, "{answered} of {PINGS}");
    drop(peer);
    serving.await.unwrap();
    bystander.assert_alone().await;
}

#[tokio::test]
async fn a_flood_is_refused_by_default() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let mut peer = support::raw(address).await;
    peer.authenticate().await;
    let pings: Vec<u8> = (0..1_000).flat_map(ping).collect();
    peer.send(&pings).await;
    let mut answered = 0;
    let code = loop {
        match peer.receive().await.expect("a frame") {
            (PONG, _) => answered += 1,
            (_, payload) => break payload,
        }
    };
    assert_eq!(code, 1008_u16.to_be_bytes());
    // The burst, and what was due while they were read.
    assert!(answered < 500, "{answered}");
    drop(peer);
    bystander.assert_alone().await;
}
