//! Diffs that an owner writes once for many are, byte for byte, what each stream would have written.

use fastrand::Rng;
use liveset_core::{Batch, Change, DiffVersions, Diffs, Reason, SessionLimits, VersionCode};

use crate::util::*;

const ID: &str = "a \"strange\" id\n\u{2028}";

fn written_once(batch: &Batch, reasons: bool, versions: Option<DiffVersions<'_>>) -> Vec<String> {
    let diffs = Diffs::new(batch, reasons, versions);
    let id = Diffs::id_text(ID);
    let messages: Vec<Vec<u8>> = diffs.messages(&id).map(|pieces| pieces.concat()).collect();
    assert_eq!(diffs.len(), messages.len());
    assert_eq!(diffs.bytes(id.len()), messages.iter().map(Vec::len).sum::<usize>());
    messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
}

fn changes(random: &mut Rng) -> Vec<Change> {
    let change = |random: &mut Rng, number: u32| {
        let id = format!("n\"{number}");
        let reason = match random.usize(..3) {
            0 => Some(Reason::Refilled),
            1 => Some(Reason::Displaced),
            _ => None,
        };
        let change = match random.usize(..3) {
            0 => added(&id, number),
            1 => removed(&id, number),
            _ => updated(&id, number, number + 1),
        };
        because(reason, change)
    };
    let count = random.usize(..5) as u32;
    (0..count).map(|number| change(random, number)).collect()
}

#[test]
fn every_message_is_that_of_the_stream() {
    let mut random = Rng::with_seed(4);
    for (options, reasons, resume) in [
        ("", false, false),
        ("reasons", true, false),
        ("resume", false, true),
        ("reasons resume", true, true),
    ] {
        let mut server = Server::active(SessionLimits::default());
        let id = ID.replace('"', "\\\"").replace('\n', "\\n");
        let mark = VersionCode::from("m\"-");
        let ticket = server.create_marked(&id, options, snapshot(3, &[]), "m\"-");
        server.texts();
        let mut before = 3;
        for version in 4..60 {
            let batch = batch(version, 0, changes(&mut random));
            let versions = resume.then_some(DiffVersions { mark: &mark, before });
            let expected = written_once(&batch, reasons, versions);
            if !batch.changes.is_empty() {
                before = version;
            }
            server.change(ticket, batch);
            assert_eq!(server.texts(), expected, "{options}");
        }
    }
}

#[test]
fn a_stream_goes_on_from_where_the_client_was_brought() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "resume", snapshot(3, &[]));
    server.texts();
    server.session.live_query_told(ticket, 8);
    server.change(ticket, batch(9, 0, [added("a", 1), added("b", 2)]));
    let versions = server.texts();
    assert!(
        versions[0].ends_with(r#""version":"8"}"#) && versions[1].ends_with(r#""version":"9"}"#),
        "{versions:?}"
    );
}
