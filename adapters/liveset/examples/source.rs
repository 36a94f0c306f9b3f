//! A source of one's own: commits come over a channel, each with its position, and some of them twice.

use std::sync::mpsc::{Receiver, channel};

use liveset::{CommitError, Liveset, Query, SetDef, Source};
use serde_json::json;

/// What comes over the channel.
enum Message {
    /// Another history begins: positions of the one before mean nothing any more.
    History(&'static str),
    /// What the prices are as of a position.
    Prices(u64, Vec<(&'static str, u32)>),
    /// Nothing has changed up to a position.
    Heartbeat(u64),
}

/// Commits what comes, until the channel is closed.
fn follow(source: &Source, messages: Receiver<Message>) -> Result<(), CommitError> {
    for message in messages {
        match message {
            Message::History(identity) => {
                source.begin(identity);
            }
            Message::Prices(position, prices) => {
                source.commit(position, |tx| {
                    for (id, price) in &prices {
                        tx.patch_or_insert("prices", id, &json!({ "id": id, "price": price }));
                    }
                })?;
            }
            Message::Heartbeat(position) => source.advance(position),
        }
    }
    Ok(())
}

/// Follows a market for a moment.
pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let liveset = Liveset::builder().set_from("market", SetDef::new("prices")).build()?;
    let source = liveset.source("market").ok_or("no such source")?;
    let (sender, messages) = channel();
    let follower = std::thread::spawn(move || follow(&source, messages).map(|()| source));

    sender.send(Message::History("2025-12-07"))?;
    sender.send(Message::Prices(3, vec![("tea", 4), ("rice", 2)]))?;
    sender.send(Message::Prices(5, vec![("tea", 5)]))?;
    // The connection was lost: what was not acknowledged comes again.
    sender.send(Message::Prices(3, vec![("tea", 4), ("rice", 2)]))?;
    sender.send(Message::Heartbeat(8))?;
    drop(sender);

    let source = follower.join().map_err(|_| "the follower has panicked")??;
    let dear = liveset.query(Query::new("prices").filter("price == 5"))?;
    println!("{} at position {}, {} skipped", dear.rows[0], source.position(), source.skipped());
    assert_eq!((dear.rows[0].id(), source.position(), source.skipped()), ("tea", 8, 1));
    Ok(())
}
