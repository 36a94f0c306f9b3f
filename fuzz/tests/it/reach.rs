//! The seeds reach what they are there for: a target that is refused at the first step would look at little.

use std::{collections::BTreeSet, fs};

use liveset_core::ErrorCode;
use liveset_fuzz::corpus;
use liveset_fuzz::evaluate::evaluate_tally;
use liveset_fuzz::policy::policy_tally;
use liveset_fuzz::session::session_reached;

/// The committed seeds of a target: those with an extension.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = corpus(target).expect("a corpus");
    let files = files.iter().filter(|file| file.extension().is_some());
    files.map(|file| fs::read(file).expect("a seed")).collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

fn assert_reached(reached: &BTreeSet<String>, expected: impl IntoIterator<Item = String>) {
    let never: Vec<_> = expected.into_iter().filter(|what| !reached.contains(what)).collect();
    assert!(never.is_empty(), "never reached: {never:?}, but {reached:?}");
}

#[test]
fn session() {
    let reached = seeds("session").iter().flat_map(|seed| session_reached(seed)).collect();
    assert_reached(&reached, words("o p a b c d e s m f g h i k r w"));
    assert_reached(
        &reached,
        words(
            "Authenticated Ping Pong Subscribed Unsubscribed Created Resumed Destroyed event warning \
             liveQueryData liveQueryAddedNode liveQueryUpdatedNode liveQueryRemovedNode liveQueryCount commit positionReached",
        ),
    );
    // Queries, event types and permission are the owner's to judge; of its refusals one stands for all.
    let others = [ErrorCode::InvalidEvent, ErrorCode::InvalidQuery];
    let codes = ErrorCode::ALL.iter().filter(|code| !others.contains(code));
    assert_reached(&reached, codes.map(|code| code.as_str().to_owned()));
    assert_reached(
        &reached,
        [1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013].map(|code| format!("close {code}")),
    );
}

#[test]
fn policy() {
    let mut reached = BTreeSet::new();
    for seed in seeds("policy") {
        let counts = policy_tally(&seed).all();
        reached.extend(counts.iter().filter(|(_, count)| *count > 0).map(|(what, _)| (*what).to_owned()));
    }
    let expected = policy_tally(b"").all();
    assert_reached(&reached, expected.iter().map(|(what, _)| (*what).to_owned()));
}

#[test]
fn evaluate_tells_nodes_apart() {
    for seed in seeds("evaluate") {
        let text = String::from_utf8_lossy(&seed);
        let (passed, others) = evaluate_tally(&seed).unwrap_or_else(|| panic!("refused: {text}"));
        assert!(passed > 0 && others > 0, "{passed} nodes pass, {others} do not: {text}");
    }
}

#[cfg(feature = "transport")]
#[test]
fn assembler() {
    let seeds = seeds("assembler");
    let reached =
        seeds.iter().flat_map(|seed| liveset_fuzz::assembler::assembler_outcomes(seed)).map(str::to_owned);
    let expected = [
        "text",
        "binary",
        "ping",
        "close",
        "close with a code",
        "protocol",
        "utf-8",
        "too large",
        "no binary",
        "flood",
    ];
    assert_reached(&reached.collect(), expected.map(str::to_owned));
}

#[cfg(feature = "jwt")]
#[test]
fn jwt() {
    let reached = seeds("jwt").iter().filter_map(|seed| liveset_fuzz::jwt::jwt_reached(seed)).collect();
    assert_reached(
        &reached,
        words(
            "accepted TooLong NotCompact Base64 HeaderJson Critical EmbeddedKey Payload Type Algorithm KeyId \
             UnknownKey AmbiguousKey Signature ClaimsJson Issuer Audience Subject NoExpiry Time Expired NotYetValid",
        ),
    );
}

#[cfg(feature = "server")]
#[test]
fn ndjson() {
    let reached: BTreeSet<_> =
        seeds("ndjson").iter().flat_map(|seed| liveset_fuzz::ndjson::ndjson_reached(seed)).collect();
    let expected = [
        "plain",
        "a byte order mark",
        "gzip",
        "loaded",
        "a commit",
        "a commit that is none",
        "a commit that is refused",
        "a commit of nodes",
        "a node that is refused",
        "a line that is too long",
        "a file that cannot be read",
    ];
    assert_eq!(reached, BTreeSet::from(expected));
}
