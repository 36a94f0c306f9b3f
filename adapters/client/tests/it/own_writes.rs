//! Waiting for a commit of one's own.

use std::sync::Arc;
use std::time::Duration;

use liveset_client::{Error, ErrorCode};

use crate::support::network::Network;
use crate::support::server::{ROWS, Server};
use crate::support::{Row, builder, ids, row, soon};

#[tokio::test]
async fn a_position_is_reached_when_the_rows_show_it() {
    let gate = Arc::default();
    let server = Server::start(&gate, &[]);
    let network = Network::to(server.address).await;
    let client = builder(&network.url()).connect().unwrap();
    let live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    network.slow(Duration::from_millis(1), 200);
    for n in 0..30 {
        let id = format!("r{n:02}");
        let position = server.put(&[row(&id, 1, n)]);
        soon(client.await_position(position)).await.unwrap();
        assert_eq!(ids(&live).last(), Some(&id));
    }

    // It is asked for again over another connection, and refused by a server of another history.
    network.open(false);
    network.cut();
    let position = server.put(&[row("late", 1, 1)]);
    let (reached, ()) = tokio::join!(soon(client.await_position(&*position)), async { network.open(true) });
    reached.unwrap();
    assert_eq!(ids(&live).first().map(String::as_str), Some("late"));
    let other = Server::start(&gate, &[]);
    network.lead_to(other.address);
    network.cut();
    let refused = loop {
        // The old server may still have answered.
        if let Err(error) = soon(client.await_position(&*position)).await {
            break error;
        }
    };
    assert!(
        matches!(&refused, Error::Server(error) if error.code == Some(ErrorCode::UnknownPosition)),
        "{refused}"
    );
}
