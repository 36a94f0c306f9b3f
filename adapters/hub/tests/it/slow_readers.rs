//! A connection that cannot be written to costs a bounded amount, and its live queries keep their meaning.

use liveset_core::SessionLimits;
use liveset_hub::HubConfig;

use crate::support::{client, create, messages, order, orders, types, world};

#[test]
fn pending_diffs_fold_to_the_current_result() {
    for backlog in [0, 1, 256] {
        let session = SessionLimits::default().backlog_changes(backlog);
        let mut world = world(HubConfig { session, ..HubConfig::default() });
        world.set_room(1);
        let (slow, quick) = (client(&mut world, "a"), client(&mut world, "b"));
        for client in [slow, quick] {
            create(&mut world, client, "q", r#"{"edge":"orders","orderBy":"total","limit":10}"#);
            messages(&mut world, client);
        }
        world.stall(slow);
        for n in 0..2_000 {
            world.commit(vec![order(n % 13, 5_000 - n), order(n % 11, n % 17)]).unwrap();
            world.settle();
        }
        let conn = world.connection(slow).unwrap();
        let waiting = world.hub().session(conn).unwrap().backlog().changes;
        assert!(waiting <= 20.max(backlog), "{waiting} changes wait, with a backlog of {backlog}");
        world.unstall(slow);
        world.settle();
        let sent = types(&mut world, slow).len();
        assert!(sent <= 21, "{sent} messages were sent");
        let rows = |world: &mut liveset_hub::test_kit::World, client| {
            let result = world.session(client).live_query("q").unwrap();
            result.rows().map(|(id, data)| (id.clone(), data.clone())).collect::<Vec<_>>()
        };
        assert_eq!(rows(&mut world, slow), rows(&mut world, quick));
    }
}

#[test]
fn the_initial_rows_are_one_snapshot_also_when_they_leave_late() {
    let mut world = world(HubConfig::default());
    world.set_room(1);
    world.commit(orders(900)).unwrap();
    let client = client(&mut world, "a");
    world.stall(client);
    create(&mut world, client, "q", r#"{"edge":"orders"}"#);
    for n in 0..300 {
        world.commit(vec![order(n, 7_000)]).unwrap();
    }
    world.unstall(client);
    world.settle();
    let messages = messages(&mut world, client);
    let data: Vec<_> = messages.iter().filter(|m| m["type"] == "liveQueryData").collect();
    assert!(data.len() >= 5 && data.iter().all(|m| m["data"].as_array().unwrap().len() <= 200));
    let old = data.iter().flat_map(|m| m["data"].as_array().unwrap()).all(|row| row["total"] == row["id"]);
    assert!(old, "no later commit shows in the initial rows");
    assert_eq!(messages.iter().filter(|m| m["type"] == "liveQueryUpdatedNode").count(), 300);
    let first_diff = messages.iter().position(|m| m["type"] == "liveQueryUpdatedNode").unwrap();
    assert!(
        messages[first_diff..].iter().all(|m| m["type"] != "liveQueryData"),
        "no diff precedes the last chunk"
    );
}
