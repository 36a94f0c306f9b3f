//! What happens to a session, read from lines.

use liveset_core::{ErrorCode, Violation};

/// A line: a letter, and what belongs to it. Any other first byte stands for one of the letters.
#[derive(Debug)]
pub(super) enum Op<'a> {
    /// `o` text: a message of the client.
    Text(&'a [u8]),
    /// `p` …: half a second passes for each byte.
    Pass(u64),
    /// `a` n: the transport saw a violation.
    Violate(Violation),
    /// `b` path type: an event.
    Publish { path: &'static str, event_type: &'static str },
    /// `c` n: the owner ends a subscription.
    EndSubscription { id: &'static str },
    /// `d` node number …: a commit; a number above 9 removes the node.
    Commit(Vec<(char, Option<u8>)>),
    /// `e` n: the owner ends a live query.
    EndLiveQuery(usize),
    /// `s` n: a live query is over something else, of which the result is not there yet.
    Suspend(usize),
    /// `m` n: now it is.
    Move(usize),
    /// `f`.
    Shutdown,
    /// `g` n: the owner gives up.
    Fail(ErrorCode),
    /// `h` n: the transport takes so many messages, or all.
    Read(Option<usize>),
    /// `i` …: the owner answers its oldest requests, each as a byte says, or all of them with yes; `k` … its newest.
    Answer { newest: bool, how: &'a [u8] },
    /// `r` n: the principal expires after so many seconds; above 9 never.
    Renew(Option<u8>),
    /// `w`: what waits is for another principal.
    Withhold,
}

pub(super) const LETTERS: &[u8] = b"opabcdesmfghikrw";
pub(super) const SUBSCRIPTIONS: [&str; 4] = ["a", "b", "c", "d"];

fn digit(byte: Option<&u8>) -> u8 {
    byte.map_or(0, |byte| byte.wrapping_sub(b'0'))
}

impl<'a> Op<'a> {
    pub(super) fn read(line: &'a [u8]) -> Option<(u8, Self)> {
        let (first, rest) = line.split_first()?;
        let letter =
            if LETTERS.contains(first) { *first } else { LETTERS[usize::from(*first) % LETTERS.len()] };
        let n = digit(rest.first());
        let op = match letter {
            b'o' => Self::Text(rest),
            b'p' => Self::Pass(rest.len() as u64),
            b'a' => Self::Violate(match n % 4 {
                0 => Violation::BinaryMessage,
                1 => Violation::Protocol,
                2 => Violation::InvalidUtf8,
                _ => Violation::TooLarge,
            }),
            b'b' => Self::Publish {
                path: ["jobs", "jobs/7"][usize::from(n % 2)],
                event_type: ["jobStarted", "jobFailed"][usize::from(digit(rest.get(1)) % 2)],
            },
            b'c' => Self::EndSubscription { id: SUBSCRIPTIONS[usize::from(n % 4)] },
            b'd' => {
                let write = |[node, number]: &[u8; 2]| {
                    let number = number.wrapping_sub(b'0');
                    (char::from(b'a' + node % 6), Some(number).filter(|number| *number < 10))
                };
                Self::Commit(rest.as_chunks().0.iter().take(8).map(write).collect())
            }
            b'e' => Self::EndLiveQuery(n.into()),
            b's' => Self::Suspend(n.into()),
            b'm' => Self::Move(n.into()),
            b'f' => Self::Shutdown,
            b'g' => Self::Fail(if n.is_multiple_of(2) { ErrorCode::Internal } else { ErrorCode::Overloaded }),
            b'h' => Self::Read(rest.first().map(|_| n.into())),
            b'i' => Self::Answer { newest: false, how: rest },
            b'k' => Self::Answer { newest: true, how: rest },
            b'w' => Self::Withhold,
            _ => Self::Renew(Some(n).filter(|n| *n < 10)),
        };
        Some((letter, op))
    }
}
