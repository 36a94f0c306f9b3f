//! What RFC 6455 forbids, and what is too much of what it allows.

use liveset_fuzz::frames::{CLOSE, CONTINUATION, PING, PONG, TEXT, frame, head};
use tokio::io::AsyncWriteExt;

use super::case::{Case, SLACK};
use super::table::{Line, Row};
use crate::support::PATIENCE;
use crate::support::raw::Raw;

/// Where the boundaries of frames are lost, our peer's answer to the close frame is not seen: not waited for as long.
const QUICK: &str = "[limits.transport]\nclose_timeout = \"200ms\"\n";

const LIMIT: usize = 64 * 1024;

/// Sends these bytes over a connection of its own, and over one that has not authenticated, and gives what comes of it, which is the
/// same.
async fn punished(address: &str, bytes: &[u8]) -> (Option<String>, Option<u16>) {
    let unknown = punished_over(Raw::connect(address).await, bytes).await;
    let known = punished_over(Raw::open(address).await, bytes).await;
    assert_eq!(unknown, known, "before and after authentication");
    known
}

/// Gives the code that a connection is closed with. An `error` may come before that.
async fn punished_over(mut raw: Raw, bytes: &[u8]) -> (Option<String>, Option<u16>) {
    // The server may close before it has read all of it.
    raw.try_send(bytes).await;
    let mut code = None;
    loop {
        let (opcode, payload) = raw.receive().await.expect("a close frame");
        match opcode {
            TEXT => {
                let error: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
                code = Some(error["code"].as_str().expect("a code").to_owned());
            }
            CLOSE => {
                let close = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                let _ = raw.stream.write_all(&frame(true, CLOSE, &payload)).await;
                assert_eq!(crate::support::raw::rest(&mut raw.stream).await, b"", "nothing follows it");
                return (code, close);
            }
            _ => panic!("{opcode}"),
        }
    }
}

pub async fn message_over_the_limit(row: Row) -> Line {
    let mut case = Case::start(row, QUICK).await;
    let mask = [0; 4];
    let secret = b"s3cret".repeat(170_000);
    let half = frame(false, TEXT, &[b' '; LIMIT - 10]);
    let attacks: [(&str, Vec<u8>); 6] = [
        ("whole, its head alone", [&head(true, TEXT, LIMIT + 1, true)[..], &mask].concat()),
        ("promising 2^62 bytes", [&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0][..], &mask].concat()),
        ("whole, 1 MB", frame(true, TEXT, &secret)),
        ("a fragment, 1 MB", frame(false, TEXT, &secret)),
        (
            "fragments, crossing it by a byte",
            [&half[..], &head(false, CONTINUATION, 11, true), &mask].concat(),
        ),
        (
            "fragments, 64 of them",
            [frame(false, TEXT, &[b' '; 1024]), frame(false, CONTINUATION, &[b' '; 1024]).repeat(64)]
                .concat(),
        ),
    ];
    case.rounds(8, SLACK, async |case: &mut Case| {
        for (what, bytes) in &attacks {
            let told = punished(&case.address, bytes).await;
            assert_eq!(told, (Some("MESSAGE_TOO_LARGE".to_owned()), Some(1009)), "{what}");
        }
        case.served().await;
        // No compression is negotiated, whoever offers it; whoever compresses all the same breaks a rule.
        let mut stream = tokio::net::TcpStream::connect(&case.address).await.expect("accepted");
        let offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
        stream.write_all(crate::support::raw::upgrade(&case.address, offer).as_bytes()).await.expect("taken");
        let mut compressed = frame(true, TEXT, &[0x4a, 0x4c, 0x04, 0]);
        compressed[0] |= 0x40;
        stream.write_all(&compressed).await.expect("taken");
        let said = crate::support::raw::rest(&mut stream).await;
        assert!(said.starts_with(b"HTTP/1.1 101 ") && said.ends_with(&[0x88, 2, 0x03, 0xea]), "{said:?}");
        assert!(!String::from_utf8_lossy(&said).to_lowercase().contains("extensions"));
    })
    .await;
    case.moved("liveset_transport_faults_total{fault=\"too_large\"}").await;
    case.logged("the peer broke a rule of the transport fault=TooLarge");
    case.finish(
        "the head of a message of 64 KiB + 1, of 2^62 bytes; 1 MB whole and as a fragment; fragments that cross the limit; before and after authentication; permessage-deflate",
        "`MESSAGE_TOO_LARGE`, 1009, from the head or the running total; compression is not negotiated, a compressed frame 1002",
    )
    .await
}

pub async fn endless_fragments(row: Row) -> Line {
    let mut case = Case::start(row, QUICK).await;
    let fragments = liveset::Limits::default().transport.max_fragments;
    let endless = |payload: &[u8], count: usize| {
        [frame(false, TEXT, b"{"), frame(false, CONTINUATION, payload).repeat(count)].concat()
    };
    case.rounds(6, SLACK, async |case: &mut Case| {
        for (what, bytes) in [
            ("empty", endless(b"", 20_000)),
            ("of a byte", endless(b"x", 20_000)),
            ("of a kilobyte", endless(&b"s3cret..".repeat(128), 2_000)),
        ] {
            let told = punished(&case.address, &bytes).await;
            assert_eq!(told, (Some("MESSAGE_TOO_LARGE".to_owned()), Some(1009)), "{what}");
        }
        // One more than there may be, of few bytes.
        let end = frame(true, CONTINUATION, br#""type":"ping"}"#);
        let told = punished(&case.address, &[endless(b"", fragments - 1), end.clone()].concat()).await;
        assert_eq!(told, (Some("MESSAGE_TOO_LARGE".to_owned()), Some(1009)));
        // As many as there may be are a message.
        let mut raw = Raw::open(&case.address).await;
        raw.send(&endless(b"", fragments - 2)).await;
        raw.send(&end).await;
        assert_eq!(raw.receive_json().await["type"], "pong");
        case.served().await;
        raw.leave().await;
    })
    .await;
    case.moved("liveset_transport_faults_total{fault=\"too_large\"}").await;
    case.logged("the peer broke a rule of the transport fault=TooLarge");
    case.finish(
        "a message in 20,000 empty continuations, 20,000 of a byte, 2,000 of a kilobyte, before and after authentication; one in 1,025, and one in as many as there may be",
        "`MESSAGE_TOO_LARGE`, 1009 at 1,024 fragments or 64 KiB; 1,024 fragments are taken",
    )
    .await
}

pub async fn broken_frames(row: Row) -> Line {
    let mut case = Case::start(row, QUICK).await;
    let with_bit = |bit: u8| {
        let mut frame = frame(true, TEXT, b"{}");
        frame[0] |= bit;
        frame
    };
    let mut attacks: Vec<(String, Vec<u8>)> = Vec::new();
    for bit in [0x40, 0x20, 0x10] {
        attacks.push((format!("reserved bit {bit:x}"), with_bit(bit)));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        attacks.push((format!("reserved opcode {opcode}"), frame(true, opcode, b"s3cret")));
    }
    for opcode in [TEXT, CLOSE, PING, PONG] {
        attacks.push((format!("unmasked {opcode}"), [&head(true, opcode, 2, false)[..], b"{}"].concat()));
    }
    for opcode in [CLOSE, PING, PONG] {
        attacks.push((format!("control {opcode} of 126 bytes"), frame(true, opcode, &[b'x'; 126])));
        attacks.push((format!("control {opcode} of 70,000 bytes"), frame(true, opcode, &[b'x'; 70_000])));
        attacks.push((format!("control {opcode} in fragments"), frame(false, opcode, b"")));
    }
    attacks.push(("an orphan continuation".into(), frame(true, CONTINUATION, b"{}")));
    attacks.push((
        "a text inside of a text".into(),
        [frame(false, TEXT, b"{"), frame(true, TEXT, b"{}")].concat(),
    ));
    attacks.push((
        "a length in more bytes than it needs".into(),
        [&[0x81, 0xfe, 0, 2][..], &[0; 4], b"{}"].concat(),
    ));
    attacks.push((
        "a length with the highest bit".into(),
        [&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0; 4]].concat(),
    ));
    attacks.push(("a close of one byte".into(), frame(true, CLOSE, &[3])));
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        attacks.push((format!("a close with {code}"), frame(true, CLOSE, &code.to_be_bytes())));
    }
    case.rounds(4, SLACK, async |case: &mut Case| {
        for attacks in attacks.chunks(8) {
            let attacking = attacks.iter().map(|(what, bytes)| {
                let address = case.address.clone();
                async move { assert_eq!(punished(&address, bytes).await, (None, Some(1002)), "{what}") }
            });
            futures_util::future::join_all(attacking).await;
            case.served().await;
        }
    })
    .await;
    case.moved("liveset_transport_faults_total{fault=\"protocol\"}").await;
    case.logged("the peer broke a rule of the transport fault=Protocol");
    let done = format!(
        "{} frames, each wrong in one thing, one connection each, before and after authentication",
        attacks.len()
    );
    case.finish(&done, "1002, each").await
}

pub async fn invalid_utf8(row: Row) -> Line {
    let mut case = Case::start(row, QUICK).await;
    let attacks: [(&str, Vec<u8>); 8] = [
        ("a byte that never is", frame(true, TEXT, b"\"s3cret\xff\"")),
        ("overlong", frame(true, TEXT, b"\"\xc0\x80\"")),
        ("a surrogate", frame(true, TEXT, b"\"\xed\xa0\x80\"")),
        ("above U+10FFFF", frame(true, TEXT, b"\"\xf4\x90\x80\x80\"")),
        ("ending in a character", frame(true, TEXT, b"\"\xe2\x82")),
        (
            "ending in a character, in fragments",
            [frame(false, TEXT, b"\"\xe2"), frame(true, CONTINUATION, b"\x82")].concat(),
        ),
        (
            "seen before the message is whole",
            [frame(false, TEXT, b"\""), frame(false, CONTINUATION, b"\xff")].concat(),
        ),
        ("a close whose reason is not", frame(true, CLOSE, &[0x03, 0xe8, 0xff])),
    ];
    // A character in two fragments is one.
    let split = [
        frame(false, TEXT, b"{\"type\":\"ping\",\"requestId\":\"\xe2"),
        frame(true, CONTINUATION, b"\x82\xac\"}"),
    ]
    .concat();
    case.rounds(8, SLACK, async |case: &mut Case| {
        for (what, bytes) in &attacks {
            assert_eq!(punished(&case.address, bytes).await, (None, Some(1007)), "{what}");
        }
        case.served().await;
        let mut raw = Raw::open(&case.address).await;
        raw.send(&split).await;
        assert_eq!(raw.receive_json().await["requestId"], "€");
        raw.leave().await;
    })
    .await;
    case.moved("liveset_transport_faults_total{fault=\"utf8\"}").await;
    case.logged("the peer broke a rule of the transport fault=Utf8");
    case.finish(
        "8 texts: bytes that never are, overlong, surrogates, cut in a character, across fragments, in a close’s reason; before and after authentication",
        "1007, each; a character across two fragments is taken",
    )
    .await
}

/// A ping with a number in it, as long as a control frame may be.
fn ping(number: u32) -> Vec<u8> {
    let mut payload = [b'.'; 125];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload[4..10].copy_from_slice(b"s3cret");
    frame(true, PING, &payload)
}

pub async fn ping_flood(row: Row) -> Line {
    capped(row).await.and(latest_only(row).await)
}

async fn capped(row: Row) -> Line {
    let mut case = Case::start(row, QUICK).await;
    let flood: Vec<u8> = (0..2_000).flat_map(ping).collect();
    let mut known = false;
    case.rounds(6, SLACK, async |case: &mut Case| {
        // Before and after authentication, in turn.
        known = !known;
        let mut raw = if known { Raw::open(&case.address).await } else { Raw::connect(&case.address).await };
        raw.try_send(&flood).await;
        case.served().await;
        let mut answered = 0;
        loop {
            match raw.receive().await.expect("a close frame") {
                (PONG, _) => answered += 1,
                (CLOSE, payload) => break assert_eq!(payload, 1008_u16.to_be_bytes()),
                (opcode, _) => panic!("{opcode}"),
            }
        }
        // The burst, and what was due while they were read.
        assert!(answered < 1_000, "{answered}");
    })
    .await;
    case.moved("liveset_transport_faults_total{fault=\"flood\"}").await;
    case.logged("the peer broke a rule of the transport fault=Flood");
    case.finish(
        "2,000 pings at once, before and after authentication",
        "1008 after the burst of 100 and 50 a second",
    )
    .await
}

async fn latest_only(row: Row) -> Line {
    const PINGS: u32 = 100_000;
    let unlimited =
        "[limits.transport]\ncontrol_frames_per_second = 4000000000\ncontrol_burst = 4000000000\n";
    let mut case = Case::start(row, unlimited).await;
    let mut least = u32::MAX;
    case.rounds(2, SLACK, async |case: &mut Case| {
        let mut raw = Raw::connect_narrow(&case.address).await;
        raw.authenticate(crate::support::TOKEN).await;
        // 13 MB of pings, of which not a pong is read: a server that wrote each, or kept each, would stand still or grow.
        for from in (0..PINGS).step_by(1_000) {
            let pings: Vec<u8> = (from..from + 1_000).flat_map(ping).collect();
            let sending = raw.stream.write_all(&pings);
            tokio::time::timeout(PATIENCE, sending).await.expect("the pings are read").expect("taken");
        }
        case.served().await;
        let (mut answered, mut latest) = (0, None);
        while latest != Some(PINGS - 1) {
            let (opcode, payload) = raw.receive().await.expect("a pong");
            assert_eq!((opcode, payload.len()), (PONG, 125));
            let number = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
            assert!(latest.is_none_or(|latest| latest < number), "{number} after {latest:?}");
            latest = Some(number);
            answered += 1;
        }
        // What the kernels held, and the latest.
        assert!(answered < PINGS / 2, "{answered} of them");
        least = least.min(answered);
        raw.leave().await;
    })
    .await;
    // A pong that is not sent is nothing to be counted: what is, are stalls of the socket and bytes.
    case.moved("liveset_write_stall_seconds_count").await;
    case.logged("closed ended=ByPeer");
    let came_back = format!("all read; {least} pongs, in order, the latest last");
    case.finish("without the cap: 100,000 pings (13 MB) before the first pong is read", &came_back).await
}
