//! The policy is asked for every request, and again for all that is held after a re-authentication.

use std::sync::Arc;

use liveset_core::{CloseCode, Query, SubscriptionSpec, Token};
use liveset_hub::{Access, AuthRefused, HubConfig, Policy, Principal};
use serde_json::json;

use crate::support::{client, create, messages, order, shown, types, world};

/// `guest` may see neither orders by total nor actors.
struct House;

impl Policy for House {
    fn may_subscribe(&self, who: &Principal, path: &str, _: &[Arc<str>]) -> bool {
        &*who.subject != "guest" || !path.starts_with("actors")
    }

    fn may_query(&self, who: &Principal, query: &Query) -> bool {
        &*who.subject != "guest" || query.filter.is_none()
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, who: &Principal) -> bool {
        &*who.subject != "guest"
    }
}

fn config() -> HubConfig {
    HubConfig { policy: Box::new(House), ..HubConfig::default() }
}

fn actors(id: &str) -> SubscriptionSpec {
    SubscriptionSpec { id: id.into(), path: "actors".into(), events: vec!["actorCheckpoint".into()] }
}

const BY_TOTAL: &str = r#"{"edge":"orders","filter":"total > 1"}"#;

#[test]
fn requests_are_refused() {
    let mut world = world(config());
    let client = client(&mut world, "guest");
    create(&mut world, client, "q", BY_TOTAL);
    world.session(client).subscribe(vec![actors("s")]);
    world.settle();
    let errors = messages(&mut world, client);
    assert_eq!((&errors[0]["code"], &errors[0]["id"]), (&json!("FORBIDDEN"), &json!("q")));
    assert_eq!((&errors[1]["code"], &errors[1]["id"]), (&json!("FORBIDDEN"), &json!("s")));
    let stats = world.hub().stats();
    assert_eq!((stats.feeds, stats.subscriptions), (0, 0));
    assert_eq!(world.close_code(client), None, "the connection stays");

    // Whoever may not ask does not learn what is there.
    create(&mut world, client, "r", r#"{"edge":"nowhere","filter":"x"}"#);
    assert_eq!(messages(&mut world, client)[0]["code"], "FORBIDDEN");
}

#[test]
fn another_principal_keeps_only_what_it_may_have() {
    let mut world = world(config());
    let client = client(&mut world, "owner");
    create(&mut world, client, "all", r#"{"edge":"orders"}"#);
    create(&mut world, client, "some", BY_TOTAL);
    let jobs = SubscriptionSpec { id: "jobs".into(), path: "jobs".into(), events: vec!["jobFailed".into()] };
    world.session(client).subscribe(vec![actors("actors"), jobs]);
    world.settle();
    messages(&mut world, client);

    // While the token is being verified the old principal serves.
    world.set_auth_delay(std::time::Duration::from_secs(1)..=std::time::Duration::from_secs(1));
    world.session(client).authenticate(&Token::new("guest"));
    world.run_for(std::time::Duration::from_millis(500));
    world.commit(vec![order(1, 5)]).unwrap();
    world.run_for(std::time::Duration::from_millis(100));
    assert_eq!(types(&mut world, client), ["liveQueryAddedNode", "liveQueryAddedNode"]);

    world.settle();
    let messages = messages(&mut world, client);
    assert_eq!(messages[0]["type"], "authenticated");
    let ended: Vec<_> = messages[1..].iter().map(|m| (m["code"].as_str(), m["id"].as_str())).collect();
    assert_eq!(ended, [(Some("FORBIDDEN"), Some("actors")), (Some("FORBIDDEN"), Some("some"))]);

    world.commit(vec![order(2, 5)]).unwrap();
    let now = world.now();
    let reached = world.hub_mut().publish(now, "actors", "actorCheckpoint", "1".into(), None).unwrap();
    assert_eq!(reached, 0);
    world.settle();
    assert_eq!(types(&mut world, client), ["liveQueryAddedNode"], "nothing follows of what has ended");
    assert_eq!(shown(&mut world, client, "all"), ["1", "2"]);
    let stats = world.hub().stats();
    assert_eq!((stats.live_queries, stats.feeds, stats.subscriptions), (1, 1, 1));
}

#[test]
fn a_refused_token_closes() {
    let mut world = world(config());
    world
        .set_authenticator(|token| if token == "bad" { Err(AuthRefused) } else { Ok(Principal::new(token)) });
    let bad = world.connect("bad");
    world.record(bad);
    world.settle();
    assert_eq!(messages(&mut world, bad)[0]["code"], "AUTH_FAILED");
    assert_eq!(world.close_code(bad), Some(CloseCode::Policy));

    let client = client(&mut world, "owner");
    create(&mut world, client, "q", BY_TOTAL);
    world.session(client).authenticate(&Token::new("bad"));
    world.settle();
    assert_eq!(world.close_code(client), Some(CloseCode::Policy));
    assert_eq!(world.hub().stats().feeds, 0);
}

#[test]
fn an_expired_principal_gets_nothing_more() {
    let mut world = world(config());
    let expires = Some(world.now().monotonic + std::time::Duration::from_secs(20));
    world.set_authenticator(move |token| Ok(Principal { expires, ..Principal::new(token) }));
    let client = client(&mut world, "owner");
    create(&mut world, client, "q", BY_TOTAL);
    messages(&mut world, client);
    world.run_for(std::time::Duration::from_secs(19));
    assert!(messages(&mut world, client).is_empty());
    world.run_for(std::time::Duration::from_secs(1));
    world.commit(vec![order(1, 5)]).unwrap();
    world.settle();
    assert_eq!(
        messages(&mut world, client).iter().map(|m| m["code"].as_str()).collect::<Vec<_>>(),
        [Some("TOKEN_EXPIRED")]
    );
    assert_eq!(world.hub().stats().feeds, 0);
}

#[test]
fn one_shot_queries_ask_too() {
    let mut world = world(config());
    let now = world.now();
    let query = Query::parse(BY_TOTAL.as_bytes()).unwrap();
    let (guest, owner) = (Principal::new("guest"), Principal::new("owner"));
    let refusal = world.hub_mut().query(now, Some(&guest), &query).unwrap_err();
    assert_eq!(refusal.code.as_str(), "FORBIDDEN");
    assert!(world.hub_mut().query(now, Some(&owner), &query).is_ok());
    let refusal = world.hub_mut().explain(now, Some(&guest), &query).unwrap_err();
    assert_eq!(refusal.code.as_str(), "FORBIDDEN");
    assert!(world.hub_mut().explain(now, Some(&owner), &query).is_ok());
    assert!(world.hub_mut().query(now, None, &query).is_ok(), "the host itself is not asked");
    assert!(world.hub().may_write(&owner).unwrap() && !world.hub().may_write(&guest).unwrap());
}
