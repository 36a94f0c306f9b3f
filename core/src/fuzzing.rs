//! Messages by chance that can be repeated, made from their declarations. For tests; no part of the interface.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use crate::message::{ClientMessage, Entered, Left, Raw, ServerMessage};
use crate::model::{Etag, Param, Reason};
use crate::token::Token;

/// A message of a client.
pub fn client_message(random: &mut Rng) -> ClientMessage {
    let request_id = random.bool().then(|| "r".into());
    ClientMessage { request_id, body: Sample::sample(random) }
}

/// A message of a server.
pub fn server_message(random: &mut Rng) -> ServerMessage<'static> {
    Sample::sample(random)
}

/// Some value of a type, of those that a field of this kind can have.
pub(crate) trait Sample<Kind> {
    fn sample(random: &mut Rng) -> Self;
}

/// Few, so that ids meet, and whatever a string can hold.
const STRINGS: [&str; 11] =
    ["a", "b", "c", "q", "r", "t", "jobs", "jobStarted", "1", "", "\u{0}\u{1}\n\"\\é🦀\u{2028}"];

fn string(random: &mut Rng) -> &'static str {
    STRINGS[random.usize(..STRINGS.len())]
}

macro_rules! strings {
    ($($type:ty),*) => {
        $(
            impl<Kind> Sample<Kind> for $type {
                fn sample(random: &mut Rng) -> Self {
                    string(random).into()
                }
            }
        )*
    };
}

strings!(Cow<'_, str>, Box<str>, Arc<str>, String);

impl<Kind> Sample<Kind> for Token {
    fn sample(random: &mut Rng) -> Token {
        Token::new(string(random))
    }
}

impl<Kind> Sample<Kind> for Etag {
    fn sample(random: &mut Rng) -> Etag {
        // Of a row that the sessions here may have.
        let (id, number) = (random.char('a'..'g'), random.u8(..6));
        Etag::of(id.encode_utf8(&mut [0_u8; 4]), format!("{{\"id\":\"{id}\",\"n\":{number}}}").as_bytes())
    }
}

impl<Kind> Sample<Kind> for bool {
    fn sample(random: &mut Rng) -> bool {
        random.bool()
    }
}

impl<Kind> Sample<Kind> for u64 {
    fn sample(random: &mut Rng) -> u64 {
        random.u64(..) >> random.u32(..64)
    }
}

impl<Kind> Sample<Kind> for BTreeMap<String, Param> {
    fn sample(random: &mut Rng) -> Self {
        (0..random.usize(..3)).map(|_| (string(random).into(), param(random, true))).collect()
    }
}

fn param(random: &mut Rng, may_be_list: bool) -> Param {
    match random.u8(..if may_be_list { 7 } else { 6 }) {
        0 => Param::Nothing,
        1 => random.bool().into(),
        2 => random.i64(..).into(),
        3 => random.f64().into(),
        4 => string(random).into(),
        5 if random.bool() => Param::Instant(string(random).into()),
        5 => Param::Duration(string(random).into()),
        _ => Param::List((0..random.usize(..3)).map(|_| param(random, false)).collect()),
    }
}

impl<Kind> Sample<Kind> for Raw<'_> {
    fn sample(random: &mut Rng) -> Self {
        let all = ["{}", r#"{"id":"n"}"#, r#"{"id":2}"#, "[null]", "null", "7"];
        Raw(all[random.usize(..all.len())].as_bytes())
    }
}

impl Sample<Entered> for Reason {
    fn sample(random: &mut Rng) -> Reason {
        let all = Reason::all(true);
        all[random.usize(..all.len())]
    }
}

impl Sample<Left> for Reason {
    fn sample(random: &mut Rng) -> Reason {
        let all = Reason::all(false);
        all[random.usize(..all.len())]
    }
}

impl<Kind, T: Sample<Kind>> Sample<Kind> for Option<T> {
    fn sample(random: &mut Rng) -> Option<T> {
        random.bool().then(|| T::sample(random))
    }
}

impl<Kind, T: Sample<Kind>> Sample<Kind> for Vec<T> {
    fn sample(random: &mut Rng) -> Vec<T> {
        // Most lists may not be empty.
        (0..=random.usize(..3)).map(|_| T::sample(random)).collect()
    }
}
