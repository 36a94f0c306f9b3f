//! Rule 4: "A removal is sent before the addition it makes room for, so a client never holds more than the cap."

use std::collections::BTreeSet;

use fastrand::Rng;
use liveset_core::{ServerMessage, SessionLimits};

use crate::util::*;

#[test]
fn however_slow_the_client_is_it_never_holds_more_than_the_cap() {
    const CAP: usize = 4;
    for seed in 0..200 {
        let mut random = Rng::with_seed(seed);
        let backlog_changes = [0, 3, 1000][random.usize(..3)];
        let mut server = Server::active(SessionLimits::default().backlog_changes(backlog_changes));
        let ticket = server.create("q", "", snapshot(1, &[]));
        let (mut all, mut held) = (BTreeSet::new(), BTreeSet::new());
        for version in 2..80 {
            let before: Vec<u32> = all.iter().take(CAP).copied().collect();
            for _ in 0..=random.usize(..4) {
                let number = random.usize(..12) as u32;
                if !all.remove(&number) {
                    all.insert(number);
                }
            }
            let after: Vec<u32> = all.iter().take(CAP).copied().collect();
            let name = |number: &u32| format!("n{number}");
            let left = before.iter().filter(|n| !after.contains(n)).map(|n| removed(&name(n), *n));
            let came = after.iter().filter(|n| !before.contains(n)).map(|n| added(&name(n), *n));
            let changes: Vec<_> = left.chain(came).collect();
            server.change(ticket, batch(version, all.len() as u64, changes));
            for _ in 0..random.usize(..6) {
                let Some(text) = server.text() else { break };
                match ServerMessage::parse(text.as_bytes()).unwrap() {
                    ServerMessage::LiveQueryAddedNode { node_id, .. } => {
                        assert!(held.insert(node_id.into_owned()), "added twice");
                    }
                    ServerMessage::LiveQueryRemovedNode { node_id, .. } => {
                        assert!(held.remove(&*node_id), "removed what is not there");
                    }
                    _ => {}
                }
                assert!(held.len() <= CAP, "seed {seed}: {held:?}");
            }
        }
    }
}
