//! What the engine keeps is limited: one query too many is refused with the reason, and the connection stays.

use liveset_engine::EngineLimits;
use liveset_hub::HubConfig;

use crate::support::{client, create, messages, world};

#[test]
fn one_query_too_many_is_refused_with_the_reason() {
    let defaults = EngineLimits::default;
    for (limits, text) in [
        (defaults().max_views(1), "no more than 1 different live queries"),
        (
            defaults().max_unindexed_views(0),
            "no more than 0 live queries are kept that every change has to be tried on",
        ),
        (defaults().max_columns(1), "live queries read no more than 1 different fields of a set"),
    ] {
        let mut world = world(HubConfig { engine: limits, ..HubConfig::default() });
        let client = client(&mut world, "a");
        create(&mut world, client, "good", r#"{"edge":"orders","filter":"total == 1"}"#);
        messages(&mut world, client);
        create(&mut world, client, "bad", r#"{"edge":"orders","filter":"state != 'b'"}"#);
        let answers = messages(&mut world, client);
        assert_eq!(
            (answers.len(), &answers[0]["code"], &answers[0]["id"]),
            (1, &"LIMIT_EXCEEDED".into(), &"bad".into())
        );
        assert!(answers[0]["message"].as_str().unwrap().starts_with(text), "{answers:?}");
        // The same query again is not one more.
        create(&mut world, client, "again", r#"{"edge":"orders","filter":"(total) == 1"}"#);
        assert_eq!(messages(&mut world, client).len(), 2);
        let stats = world.hub().stats();
        assert_eq!((stats.live_queries, stats.feeds, stats.engine.views), (2, 1, 1));
    }
}
