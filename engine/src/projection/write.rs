//! The projection of a node, copied token by token.

use std::collections::BTreeMap;

use super::Fields;
use crate::json::{Skim, text_of};

/// Appends the wanted members of the object in `raw`, or an empty object.
pub(super) fn object(wanted: &BTreeMap<Box<str>, Fields>, raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut skim = Skim::new(raw);
    if skim.peek() == Some(b'{') {
        members(&mut skim, wanted, out);
    }
    if out.len() == start {
        out.extend_from_slice(b"{}");
    }
}

/// Takes an object and appends what is wanted of it, if there is any of that. Recursion is as deep as the wanted paths.
fn members(skim: &mut Skim<'_>, wanted: &BTreeMap<Box<str>, Fields>, out: &mut Vec<u8>) {
    skim.skip(b'{');
    let mut separator = b'{';
    while let Some(key) = skim.key() {
        match text_of(key).and_then(|name| wanted.get(&*name)) {
            None => {
                skim.value();
            }
            Some(fields) => {
                let before = out.len();
                out.push(separator);
                out.extend_from_slice(key);
                out.push(b':');
                let inside = out.len();
                match fields {
                    Fields::Members(inner) if skim.peek() == Some(b'{') => members(skim, inner, out),
                    Fields::All => out.extend_from_slice(skim.value()),
                    // A path through a list or a scalar leads nowhere.
                    Fields::Members(_) => {
                        skim.value();
                    }
                }
                if out.len() == inside {
                    out.truncate(before);
                } else {
                    separator = b',';
                }
            }
        }
        if !skim.skip(b',') {
            break;
        }
    }
    skim.skip(b'}');
    if separator == b',' {
        out.push(b'}');
    }
}
