//! Messages by chance, right and wrong, for sessions of either end.

use std::collections::BTreeSet;

use fastrand::Rng;
use liveset_core::fuzzing::{client_message, server_message};
use liveset_core::{ClientBody, ClientMessage, ServerMessage};
use liveset_fuzz::targets::{client_session, messages, session};

/// Wrong messages of a client.
const WRONG: [&str; 3] = [r#"{"type":"other"}"#, r#"{"type":["#, "[[[[{}"];

/// A message of a client; now and then what is none.
fn client(random: &mut Rng) -> Vec<u8> {
    if random.usize(..16) == 0 {
        return WRONG[random.usize(..WRONG.len())].into();
    }
    let mut text = Vec::new();
    client_message(random).write(&mut text);
    text
}

/// A message of a server, which answers one of the requests of [`client_session`].
fn server(random: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    server_message(random).write(&mut text);
    let request = format!("\"requestId\":\"{}\"", random.u8(1..6));
    match String::from_utf8(text) {
        Ok(text) => text.replace("\"requestId\":\"t\"", &request).into_bytes(),
        Err(_) => unreachable!("JSON is UTF-8"),
    }
}

/// A valid line, or one with a few bytes changed, cut or doubled, or noise.
fn line(random: &mut Rng, mut text: Vec<u8>) -> Vec<u8> {
    match random.usize(..10) {
        0 => {
            for _ in 0..=random.usize(..4) {
                let at = random.usize(..text.len());
                text[at] = random.u8(..);
            }
        }
        1 => text.truncate(random.usize(..text.len())),
        2 => {
            let at = random.usize(..text.len());
            let tail = text[at..].to_vec();
            text.extend(tail);
        }
        3 => text = (0..random.usize(..64)).map(|_| random.u8(..)).collect(),
        _ => {}
    }
    text
}

#[test]
fn random_bytes_never_lead_a_session_astray() {
    const OPS: &[u8] = b"oooooooooooooooppphhhhhhiiiikkkkbbbcddddddeemmsrafg";
    for seed in 0..3000 {
        let mut random = Rng::with_seed(seed);
        let mut data = Vec::new();
        if seed % 4 > 0 {
            data.extend_from_slice(b"o{\"type\":\"auth\",\"token\":\"t\"}\ni\n");
        }
        for _ in 0..random.usize(..60) {
            // The rare operations that end a session would otherwise leave little to test.
            let rare = if random.usize(..8) > 0 { 3 } else { 0 };
            let op = OPS[random.usize(..OPS.len() - rare)];
            data.push(op);
            match op {
                b'o' => {
                    let text = client(&mut random);
                    data.extend(line(&mut random, text));
                }
                _ => data.extend((0..random.usize(..5)).map(|_| b'0' + random.u8(..20))),
            }
            data.push(b'\n');
        }
        session(&data);
    }
}

#[test]
fn random_bytes_never_panic_a_client_session() {
    for seed in 0..3000 {
        let mut random = Rng::with_seed(seed);
        let mut data = Vec::new();
        for _ in 0..random.usize(..60) {
            let text = server(&mut random);
            data.extend(line(&mut random, text));
            data.push(b'\n');
        }
        client_session(&data);
    }
}

#[test]
fn what_can_be_read_reads_back() {
    for seed in 0..20_000 {
        let mut random = Rng::with_seed(seed);
        for text in [client(&mut random), server(&mut random)] {
            messages(&line(&mut random, text));
        }
    }
}

#[test]
fn every_message_that_is_declared_reads_back() {
    let mut random = Rng::with_seed(1);
    let (mut clients, mut servers) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5_000 {
        let message = client_message(&mut random);
        let mut text = Vec::new();
        message.write(&mut text);
        match ClientMessage::parse(&text, 128) {
            Ok(read) => assert_eq!(read, message),
            Err(error) => assert!(error.message.contains("needs 'options.resume'"), "{error}"),
        }
        clients.insert(message.body.type_name());
        let message = server_message(&mut random);
        text.clear();
        message.write(&mut text);
        assert_eq!(ServerMessage::parse(&text).as_ref(), Ok(&message));
        servers.insert(message.type_name());
    }
    assert!(clients.into_iter().eq(BTreeSet::from_iter(ClientBody::TYPES.iter().map(|(name, _)| *name))));
    assert!(servers.into_iter().eq(BTreeSet::from_iter(ServerMessage::TYPES.iter().map(|(name, _)| *name))));
}
