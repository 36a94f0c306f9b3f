//! Clients that count messages and look at nothing else, so that the servers are what is measured.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};

use super::{
    Defaults, Options, Outcome, server,
    wire::{TEXT, Way, append_frame, read_some},
};

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
    let port = options.get("port") as u16;
    let way = Way { address: ([127, 0, 0, 1], port).into(), receive_buffer: None, http: false };
    let (connections, asks, step) = (options.count("connections"), options.get("asks"), options.get("step"));
    // One thread: what is read is counted without contention.
    let runtime = server::runtime(1)?;
    let connecting = std::sync::Arc::new(Semaphore::new(CONNECTING));
    for number in 0..connections {
        let connecting = connecting.clone();
        runtime.spawn(async move {
            let permit = connecting.acquire().await;
            let mut stream = match way.connect().await {
                Ok(stream) => stream,
                Err(error) => return say(&format!("connection {number}: {error}")),
            };
            let opening = if asks == ASKS_NOTHING { 0 } else { OPENING };
            if opening > 0 && stream.write_all(&requests(number, asks)).await.is_err() {
                return say(&format!("connection {number} is closed"));
            }
            let mut count = Count::default();
            while count.frames < opening {
                if !matches!(read_some(&mut stream, |bytes| count.push(bytes)).await, Ok(1..)) {
                    return say(&format!("connection {number} is closed"));
                }
            }
            drop(permit);
            if READY.fetch_add(1, Ordering::Relaxed) + 1 == connections {
                say("ready");
            }
            read_on(stream, count, step).await;
        });
    }
    // Until the one who started us is done or gone.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    Ok(())
}

async fn read_on(mut stream: TcpStream, mut count: Count, step: u64) {
    // All goes at the end without waiting states of TCP: the next run needs the ports.
    let _ = stream.set_zero_linger();
    loop {
        let before = count.frames;
        match read_some(&mut stream, |bytes| count.push(bytes)).await {
            Ok(1..) => {}
            _ => return say("a connection is closed"),
        }
        let came = count.frames - before;
        let all = MESSAGES.fetch_add(came, Ordering::Relaxed);
        for _ in all / step..(all + came) / step {
            say("mark");
        }
    }
}

fn requests(number: usize, asks: u64) -> Vec<u8> {
    let customer = if asks == ASKS_ITS_OWN { number } else { 0 };
    let query = format!(
        r#"{{"edge":"orders","filter":"customer == 'customer-{customer}'","orderBy":"createdAt desc","limit":100}}"#
    );
    let mut out = Vec::new();
    append_frame(TEXT, br#"{"type":"auth","token":"t"}"#, &mut out);
    let create = format!(r#"{{"type":"createLiveQuery","id":"{}","query":{query}}}"#, id(number));
    append_frame(TEXT, create.as_bytes(), &mut out);
    out
}

/// What a connection calls its live query.
pub(super) fn id(number: usize) -> String {
    format!("query-{number:05}")
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Counts frames without keeping them.
#[derive(Debug, Default)]
struct Count {
    frames: u64,
    head: [u8; 10],
    head_len: usize,
    /// Bytes of the payload that are to come.
    left: usize,
}

impl Count {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                self.frames += u64::from(self.left == 0);
                continue;
            }
            self.head[self.head_len] = bytes[0];
            self.head_len += 1;
            bytes = &bytes[1..];
            let len = match (self.head_len, self.head[1]) {
                (2, len @ 0..=125) => u64::from(len),
                (4, 126) => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
                (10, 127) => self.head[2..].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
                _ => continue,
            };
            self.head_len = 0;
            self.left = len as usize;
            self.frames += u64::from(len == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_the_bytes_are_cut() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x88, 0, 0x81, 126, 0, 200];
        bytes.extend([b'x'; 200]);
        bytes.extend([0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend([b'y'; 65_536]);
        for cut in 1..300 {
            let mut count = Count::default();
            bytes.chunks(cut).for_each(|piece| count.push(piece));
            assert_eq!((count.frames, count.left), (4, 0), "in pieces of {cut}");
        }
    }
}
