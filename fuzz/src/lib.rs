//! Fuzz targets of Liveset, replayed as ordinary tests on stable Rust; with the oracle and the models behind them, which tests of
//! other packages use too.
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir fuzz window -- -max_total_time=60    look for trouble (needs cargo-fuzz)
//! cargo test -p liveset-fuzz                                             replay the corpora, and small changes of them
//! cargo run -p liveset-fuzz --bin window -- FILE…                        replay what the fuzzer found
//! ```
//!
//! A target is one line; its body panics where a promise is broken. Bodies use what users have; `json` looks at readers that
//! they do not see and stands in the engine, and `assembler` is given the transport's reader (feature `fuzzing` of each).
//!
//! | target | input | promise |
//! | --- | --- | --- |
//! | [`messages`](targets::messages) | one message | what can be read is written and reads back the same |
//! | [`session`](targets::session) | operations, a line each | a session asks, answers, sends and closes as a model of the protocol |
//! | [`client_session`](targets::client_session) | lines from a server | no server harms a client |
//! | [`filter`](targets::filter) | a filter, then nodes, one a line | print and canonical form read back; flips are never late |
//! | [`order`](targets::order) | an `orderBy`, then nodes, one a line | the same, and ranks sort as promised |
//! | [`json`](targets::json) | one JSON text | compaction and projection keep values; what only checks refuses the same |
//! | [`window`](targets::window) | how the engine works, operations of three bytes | every live query equals a sort from scratch |
//! | [`holds`](targets::holds) | how large holds are, dear rows, queries, commits and moments, four bytes each | no call takes more steps than a hold, what waits is bounded, and every live query equals a recomputation |
//! | [`evaluate`](targets::evaluate) | a query in prefix notation, a moment, nodes | the result is that of an oracle, once and live |
//! | [`policy`](targets::policy) | operations, a line each, on one hub | nobody is told of what they may not see, nor served when they are nobody any more |
//! | [`assembler`](targets::assembler) | frames, a line each | messages and faults are those of a reference, as soon as can be |
//! | `jwt` (feature `jwt`) | a token, keys, or a header, claims, and who signs them | what is accepted, and why not, is as a reference says |
//! | `ndjson` (feature `server`) | a file, behind a line that says how it is written | lines and faults are found where they are; no commit is half applied |
//!
//! # The corpus
//!
//! `corpus/TARGET/` holds seeds written by hand, most of them text, and whatever the fuzzer found that was worth to keep. Files
//! with an extension are committed; what the fuzzer adds has none and is not. A crash becomes a named test in its package first,
//! and, where it teaches the fuzzer something, a seed.
//!
//! # Features
//!
//! `host-json-features` switches on in `serde_json` what any other package of a user's program may switch on
//! (`arbitrary_precision`, `preserve_order`), so that all tests can be run in such a company:
//! `cargo test -p liveset-core -p liveset-hub -p liveset-fuzz --features liveset-fuzz/host-json-features`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[cfg(feature = "transport")]
pub mod assembler;
pub mod engine;
pub mod evaluate;
#[cfg(feature = "frames")]
pub mod frames;
pub mod generate;
#[cfg(feature = "jwt")]
pub mod jwt;
mod messages;
#[cfg(feature = "server")]
pub mod ndjson;
pub mod operations;
mod ops;
pub mod oracle;
pub mod policy;
pub mod session;
pub mod text;

pub use ops::engine_op;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// The bodies, by the names of their targets.
pub mod targets {
    pub use liveset_engine::fuzzing::json;

    #[cfg(feature = "transport")]
    pub use crate::assembler::assembler;
    pub use crate::engine::{filter, holds, order, window};
    pub use crate::evaluate::evaluate;
    #[cfg(feature = "jwt")]
    pub use crate::jwt::jwt;
    pub use crate::messages::{client_session, messages};
    #[cfg(feature = "server")]
    pub use crate::ndjson::ndjson;
    pub use crate::policy::policy;
    pub use crate::session::session;
}

/// What runs one input; it panics where a promise is broken.
pub type Body = fn(&[u8]);

/// Every target that was built.
pub const TARGETS: &[(&str, Body)] = &[
    #[cfg(feature = "transport")]
    ("assembler", targets::assembler),
    ("client_session", targets::client_session),
    ("evaluate", targets::evaluate),
    ("filter", targets::filter),
    ("holds", targets::holds),
    ("json", targets::json),
    #[cfg(feature = "jwt")]
    ("jwt", targets::jwt),
    ("messages", targets::messages),
    #[cfg(feature = "server")]
    ("ndjson", targets::ndjson),
    ("order", targets::order),
    ("policy", targets::policy),
    ("session", targets::session),
    ("window", targets::window),
];

/// The whole of a target: under the fuzzer the body, on stable Rust a `main` that replays the files named as arguments.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::targets::$name(data));
    };
}

/// The whole of a target: under the fuzzer the body, on stable Rust a `main` that replays the files named as arguments.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        fn main() -> ::std::io::Result<()> {
            $crate::replay(
                $crate::targets::$name,
                ::std::env::args_os().skip(1).map(::std::convert::Into::into),
            )
        }
    };
}

/// Runs a body on files, and says which one it is at.
///
/// # Errors
///
/// A file cannot be read.
pub fn replay(body: Body, files: impl IntoIterator<Item = PathBuf>) -> io::Result<()> {
    for file in files {
        println!("{}", file.display());
        body(&fs::read(&file)?);
    }
    Ok(())
}

/// The folder with the corpora, one folder for each target.
pub fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files of a target's corpus, sorted by name.
///
/// # Errors
///
/// There is none.
pub fn corpus(target: &str) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(corpora().join(target))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
