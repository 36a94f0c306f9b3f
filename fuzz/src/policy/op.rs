//! What happens, read from bytes.

use super::rules::{Choice, Role};

/// Rows, and moments at which nothing is settled, are few, so that everything meets.
pub(super) const ROWS: u8 = 6;
pub(super) const PEERS: usize = 4;

/// One line: a letter, then an argument a byte. Digits stand for themselves, letters go on from 10.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// `w` row owner value …: commits all of them at once. The owner is A, B or nobody (the row is removed).
    Commit(Vec<Write>),
    /// `q` peer id filter order limit fields options edge: creates a live query.
    Create { peer: usize, id: u8, choice: Choice },
    /// `u` peer id other: creates what another connection has by this id, from the version that this has.
    Resume { peer: usize, id: u8, other: usize },
    /// `d` peer id.
    Destroy { peer: usize, id: u8 },
    /// `a` peer role later n: authenticates again; the verdict may wait for `v`, and the principal end in n quarters of a minute
    /// (0: never).
    Authenticate { peer: usize, role: Option<Role>, later: bool, quarters: u8 },
    /// `v` peer: the verdict on the last of its tokens that wait.
    Verdict { peer: usize },
    /// `r` role: revokes whoever acts in it.
    Revoke(Role),
    /// `z` n: renews all principals, each tenant as the other, until so many quarters of a minute from now (0: for ever).
    Swap(u8),
    /// `y` n: renews all principals as they are, until then.
    Renew(u8),
    /// `s` peer: stops reading, or goes on.
    Stall { peer: usize },
    /// `p` peer n: one that has stopped reads n messages.
    Read { peer: usize, messages: u8 },
    /// `t` n: so many quarters of a minute pass.
    Pass(u8),
    /// `b` n: so many minutes back, for the wall clock alone.
    SetBack(u8),
    /// `x` peer role later: the connection is lost, and made anew; the verdict may wait for `v`.
    Reconnect { peer: usize, role: Role, later: bool },
    /// `k` peer: the server shuts this connection down.
    Shutdown { peer: usize },
    /// `l` peer path: subscribes to events.
    Subscribe { peer: usize, path: u8 },
    /// `e` path: publishes one.
    Publish { path: u8 },
    /// `o` role filter order limit fields edge: asks once.
    Ask { role: Role, choice: Choice },
    /// `g` n: works over so many nodes for the queries that wait.
    Work,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) row: u8,
    pub(super) owner: u8,
    pub(super) value: u8,
}

/// A digit, a letter, or any other byte as a number.
pub(crate) fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'z' => byte - b'a' + 10,
        other => other,
    }
}

impl Op {
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let (letter, rest) = line.split_first()?;
        let args: Vec<u8> = rest.iter().filter(|byte| **byte != b' ').map(|byte| digit(*byte)).collect();
        let arg = |n: usize| args.get(n).copied().unwrap_or(0);
        let peer = usize::from(arg(0)) % PEERS;
        let id = arg(1) % 3;
        Some(match letter {
            b'w' => {
                let write = |of: &[u8; 3]| Write { row: of[0] % ROWS, owner: of[1] % 3, value: of[2] };
                Self::Commit(args.as_chunks().0.iter().take(12).map(write).collect())
            }
            b'q' => Self::Create { peer, id, choice: Choice::new(args.get(2..).unwrap_or_default()) },
            b'u' => Self::Resume { peer, id, other: usize::from(arg(2)) % PEERS },
            b'd' => Self::Destroy { peer, id },
            b'a' => Self::Authenticate {
                peer,
                role: (arg(1) != 9).then(|| Role::new(arg(1))),
                later: arg(2) % 2 == 1,
                quarters: arg(3) % 8,
            },
            b'v' => Self::Verdict { peer },
            b'r' => Self::Revoke(Role::new(arg(0))),
            b'z' => Self::Swap(arg(0) % 8),
            b'y' => Self::Renew(arg(0) % 8),
            b's' => Self::Stall { peer },
            b'p' => Self::Read { peer, messages: arg(1) },
            b't' => Self::Pass(arg(0)),
            b'b' => Self::SetBack(arg(0)),
            b'x' => Self::Reconnect { peer, role: Role::new(arg(1)), later: arg(2) % 2 == 1 },
            b'k' => Self::Shutdown { peer },
            b'l' => Self::Subscribe { peer, path: arg(1) % 3 },
            b'e' => Self::Publish { path: arg(0) % 3 },
            b'o' => {
                Self::Ask { role: Role::new(arg(0)), choice: Choice::new(args.get(1..).unwrap_or_default()) }
            }
            b'g' => Self::Work,
            _ => return None,
        })
    }
}
