//! Clients that count messages and look at nothing else, so that the servers are what is measured.

use std::{
    io,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use liveset_cli::load::{frames::TEXT, link::Link};
use tokio::sync::Semaphore;

use super::{Defaults, Options, Outcome, child::say, client::way, server};

pub(super) const OPTIONS: Defaults =
    &[("port", 0), ("connections", 1), ("asks", ASKS_NOTHING), ("step", u64::MAX)];

/// The server speaks without being asked.
pub(super) const ASKS_NOTHING: u64 = 0;
/// All ask for customer 0, each under an id of its own.
pub(super) const ASKS_THE_SAME: u64 = 1;
/// Each asks for the customer of its own number.
pub(super) const ASKS_ITS_OWN: u64 = 2;

/// How many connect at once.
const CONNECTING: usize = 256;
/// `authenticated`, `liveQueryCreated` and one `liveQueryData`.
const OPENING: u64 = 3;

static READY: AtomicUsize = AtomicUsize::new(0);
static MESSAGES: AtomicU64 = AtomicU64::new(0);

/// Says `ready` when all are connected and answered, then `mark` for every `step` messages, until the input ends.
pub(super) fn run(options: &Options) -> Outcome {
    let way = way(options.get("port") as u16, false, false);
    let (connections, asks, step) = (options.count("connections"), options.get("asks"), options.get("step"));
    // One thread: what is read is counted without contention.
    let runtime = server::runtime(1)?;
    let connecting = std::sync::Arc::new(Semaphore::new(CONNECTING));
    for number in 0..connections {
        let connecting = connecting.clone();
        runtime.spawn(async move {
            let permit = connecting.acquire().await;
            let opened = async {
                let mut link = way.connect().await?;
                let mut left = ask(&mut link, number, asks);
                link.flush().await?;
                while left > 0 {
                    left = left.saturating_sub(count(&mut link).await?);
                }
                Ok::<_, io::Error>(link)
            };
            let link = match opened.await {
                Ok(link) => link,
                Err(error) => return say([format!("connection {number}: {error}")]),
            };
            drop(permit);
            if READY.fetch_add(1, Ordering::Relaxed) + 1 == connections {
                say(["ready"]);
            }
            read_on(link, step).await;
        });
    }
    // Until the one who started us is done or gone.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    Ok(())
}

async fn read_on(mut link: Link, step: u64) {
    // All goes at the end without waiting states of TCP: the next run needs the ports.
    link.break_off();
    while let Ok(came) = count(&mut link).await {
        let all = MESSAGES.fetch_add(came, Ordering::Relaxed);
        for _ in all / step..(all + came) / step {
            say(["mark"]);
        }
    }
    say(["a connection is closed"]);
}

/// Reads once, and counts the messages that came whole.
async fn count(link: &mut Link) -> io::Result<u64> {
    let mut came = 0;
    let read = link.read(|bytes, frames, _| frames.read(bytes, |_, _| came += 1).map_err(io::Error::other));
    match read.await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(came),
    }
}

/// Asks, and says how many messages will answer.
fn ask(link: &mut Link, number: usize, asks: u64) -> u64 {
    if asks == ASKS_NOTHING {
        return 0;
    }
    let customer = if asks == ASKS_ITS_OWN { number } else { 0 };
    let query = format!(
        r#"{{"edge":"orders","filter":"customer == 'customer-{customer}'","orderBy":"createdAt desc","limit":100}}"#
    );
    link.say(TEXT, br#"{"type":"auth","token":"t"}"#);
    let create = format!(r#"{{"type":"createLiveQuery","id":"{}","query":{query}}}"#, id(number));
    link.say(TEXT, create.as_bytes());
    OPENING
}

/// What a connection calls its live query.
pub(super) fn id(number: usize) -> String {
    format!("query-{number:05}")
}
