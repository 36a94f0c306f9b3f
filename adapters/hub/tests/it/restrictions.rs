//! Principals see the nodes and fields that the policy lets them see, whatever they ask, and from the moment it says so.

use std::sync::Arc;

use liveset_core::{Query, SessionLimits, Token};
use liveset_engine::{FieldKind, SetDef};
use liveset_hub::{
    Access, HubConfig, Policy, Principal, Restriction,
    test_kit::{ClientId, World, remove, upsert},
};
use serde_json::{Map, Value, json};

use crate::support::{self, client, create, messages, request, types, world};

/// Tokens are JSON: a subject, and claims.
fn principal(token: &str) -> Principal {
    let Value::Object(claims) = serde_json::from_str(token).expect("an object") else { panic!("{token}") };
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or("nobody").to_owned();
    Principal { claims: Arc::new(claims), ..Principal::new(subject) }
}

/// `staff` sees everything, others the rows of their tenant without the secrets.
struct Tenants;

impl Policy for Tenants {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, who: &Principal, edge: &str) -> Access {
        let role = who.claims.get("role").and_then(Value::as_str);
        match (edge, role) {
            ("orders", Some("staff")) => Access::All,
            ("orders", Some("regional")) => {
                Access::Part(Arc::new(Restriction::rows("region in $principal.regions")))
            }
            ("orders", _) => Access::Part(Arc::new(
                Restriction::rows("tenant == $principal.tenant").fields(["tenant", "total", "region"]),
            )),
            _ => Access::Nothing,
        }
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

fn order(id: u32, tenant: &str, region: &str, total: u32) -> liveset_engine::Op {
    let node = json!({ "id": id, "tenant": tenant, "region": region, "total": total, "secret": total * 7 });
    upsert("orders", &node.to_string())
}

fn shop() -> World {
    let mut world = world(HubConfig { policy: Box::new(Tenants), ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    let ops =
        [(1, "acme", "eu", 10), (2, "umbrella", "eu", 20), (3, "acme", "us", 30), (4, "umbrella", "us", 40)];
    world.commit(ops.map(|(id, tenant, region, total)| order(id, tenant, region, total)).into()).unwrap();
    world
}

fn ids(messages: &[Value]) -> Vec<i64> {
    let data = messages.iter().filter(|message| message["type"] == "liveQueryData");
    data.flat_map(|message| message["data"].as_array().unwrap())
        .map(|row| row["id"].as_i64().unwrap())
        .collect()
}

const ACME: &str = r#"{"sub":"ann","tenant":"acme"}"#;
const UMBRELLA: &str = r#"{"sub":"bob","tenant":"umbrella"}"#;
const STAFF: &str = r#"{"sub":"sue","role":"staff"}"#;
const ALL: &str = r#"{"edge":"orders","orderBy":"total"}"#;

fn error(world: &mut World, client: ClientId) -> (String, String) {
    let messages = messages(world, client);
    let error = messages.iter().find(|message| message["type"] == "error").expect("an error");
    (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

#[test]
fn two_tenants_ask_the_same_and_share_nothing() {
    let mut world = shop();
    let (acme, other, umbrella) =
        (client(&mut world, ACME), client(&mut world, ACME), client(&mut world, UMBRELLA));
    for client in [acme, other, umbrella] {
        create(&mut world, client, "q", ALL);
    }
    assert_eq!(world.hub().stats().feeds, 2, "equal restrictions share, others do not");
    let of_acme = messages(&mut world, acme);
    assert_eq!(ids(&of_acme), [1, 3]);
    assert_eq!(of_acme[0]["totalCount"], 2);
    assert_eq!(ids(&messages(&mut world, umbrella)), [2, 4]);
    messages(&mut world, other);

    world.commit(vec![order(5, "umbrella", "eu", 5), order(1, "umbrella", "eu", 11)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, acme), ["liveQueryRemovedNode"]);
    assert_eq!(types(&mut world, umbrella), ["liveQueryAddedNode", "liveQueryAddedNode"]);
}

#[test]
fn hidden_fields_are_not_sent_and_cannot_be_asked_about() {
    let mut world = shop();
    let acme = client(&mut world, ACME);
    create(&mut world, acme, "q", ALL);
    let rows = messages(&mut world, acme);
    assert_eq!(rows[1]["data"][0], json!({ "id": 1, "tenant": "acme", "region": "eu", "total": 10 }));
    for query in [
        r#"{"edge":"orders","filter":"secret > 3"}"#,
        r#"{"edge":"orders","orderBy":"secret"}"#,
        r#"{"edge":"orders","node":{"fields":["secret"]}}"#,
    ] {
        create(&mut world, acme, "probe", query);
        let (code, message) = error(&mut world, acme);
        assert_eq!((&*code, &*message), ("FORBIDDEN", "not allowed to use the field 'secret'"));
    }
    // A change of nothing but what is hidden is none.
    let secret = json!({ "id": 1, "tenant": "acme", "region": "eu", "total": 10, "secret": "new" });
    world.commit(vec![upsert("orders", &secret.to_string())]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, acme), [""; 0]);
}

#[test]
fn who_lacks_a_claim_sees_nothing() {
    let mut world = shop();
    for token in [
        r#"{"sub":"eve"}"#,
        r#"{"sub":"eve","tenant":null}"#,
        r#"{"sub":"eve","tenant":{"is":"acme"}}"#,
        r#"{"sub":"eve","tenant":["acme"]}"#,
        r#"{"sub":"eve","role":"regional","regions":"eu"}"#,
        r#"{"sub":"eve","role":"regional","regions":[null]}"#,
    ] {
        let eve = client(&mut world, token);
        create(&mut world, eve, "q", ALL);
        let messages = messages(&mut world, eve);
        assert_eq!(
            (&messages[0]["type"], &messages[0]["totalCount"]),
            (&json!("liveQueryCreated"), &json!(0))
        );
        assert_eq!(ids(&messages), [0; 0], "{token}");
        // Nothing is let through later either.
        world.commit(vec![order(7, "acme", "eu", 1), order(8, "umbrella", "eu", 2)]).unwrap();
        world.settle();
        assert_eq!(types(&mut world, eve), [""; 0], "{token}");
        world.commit(vec![remove("orders", "7"), remove("orders", "8")]).unwrap();
        world.settle();
    }
    assert_eq!(world.hub().stats().broken_restrictions, 0);
    let nobody = client(&mut world, r#"{"sub":"eve","role":"regional","regions":[]}"#);
    create(&mut world, nobody, "q", ALL);
    assert_eq!(ids(&messages(&mut world, nobody)), [0; 0]);
    let set = client(&mut world, STAFF);
    create(&mut world, set, "q", r#"{"edge":"users"}"#);
    let known = error(&mut world, set);
    create(&mut world, set, "q", r#"{"edge":"no-such-set"}"#);
    assert_eq!(error(&mut world, set).0, known.0, "a set that is hidden is as one that is not there");
}

/// 2^64 + 1 is not the 2^64 that a float makes of it. What `serde_json` has rounded itself, before anyone here saw it, stays so: it
/// keeps the digits only with `arbitrary_precision`.
#[test]
fn a_claim_that_would_have_to_be_rounded_is_none() {
    let token = r#"{"sub":"ann","role":"regional","regions":[18446744073709551617]}"#;
    let digits = principal(token).claims["regions"][0].to_string();
    let mut world = shop();
    let node = r#"{"id":9,"tenant":"acme","region":18446744073709551616.0,"total":1}"#;
    world.commit(vec![upsert("orders", node)]).unwrap();
    let ann = client(&mut world, token);
    create(&mut world, ann, "q", ALL);
    let expected: &[i64] = if digits == "18446744073709551617" { &[] } else { &[9] };
    assert_eq!(ids(&messages(&mut world, ann)), expected);
}

/// What a client has after what it got, by id.
fn rows(world: &mut World, client: ClientId) -> Vec<(String, Value)> {
    let result = world.session(client).live_query("q").expect("a live query");
    result.rows().map(|(id, data)| (id.to_string(), serde_json::from_slice(data).unwrap())).collect()
}

fn reauthenticate(world: &mut World, client: ClientId, token: &str) {
    world.session(client).authenticate(&Token::new(token));
    world.settle();
}

#[test]
fn another_principal_turns_what_is_held_into_what_it_may_see() {
    for options in [r#"{}"#, r#"{"reasons":true,"resume":true,"counts":true,"positions":true}"#] {
        let mut world = shop();
        let client = client(&mut world, STAFF);
        if options == "{}" {
            create(&mut world, client, "q", ALL);
        } else {
            let request = liveset_core::LiveQueryRequest::new("q", Query::parse(ALL.as_bytes()).unwrap());
            let options = liveset_core::LiveQueryOptions {
                positions: true,
                counts: true,
                reasons: true,
                resume: true,
                status: false,
                hints: true,
            };
            world.session(client).create_live_query(liveset_core::LiveQueryRequest { options, ..request });
            world.settle();
        }
        messages(&mut world, client);

        reauthenticate(&mut world, client, ACME);
        let got = messages(&mut world, client);
        let changes: Vec<_> = got.iter().filter(|message| message["nodeId"].is_string()).collect();
        let kinds: Vec<_> = changes
            .iter()
            .map(|change| (change["type"].as_str().unwrap(), change["nodeId"].as_str().unwrap()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("liveQueryRemovedNode", "2"),
                ("liveQueryRemovedNode", "4"),
                ("liveQueryUpdatedNode", "1"),
                ("liveQueryUpdatedNode", "3"),
            ]
        );
        if options != "{}" {
            assert_eq!(changes[0]["reason"], "forbidden");
        }
        assert!(
            rows(&mut world, client)
                .iter()
                .all(|(_, row)| row["tenant"] == "acme" && row["secret"].is_null())
        );

        // It is live: of its own tenant only.
        world.commit(vec![order(7, "umbrella", "eu", 1), order(8, "acme", "eu", 2)]).unwrap();
        world.settle();
        assert_eq!(rows(&mut world, client).iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["1", "3", "8"]);
        messages(&mut world, client);

        // The same again changes nothing, and nothing is sent twice.
        reauthenticate(&mut world, client, r#"{"sub":"somebody else","tenant":"acme"}"#);
        assert_eq!(types(&mut world, client), ["authenticated"]);

        reauthenticate(&mut world, client, STAFF);
        assert_eq!(rows(&mut world, client).len(), 6);
        reauthenticate(&mut world, client, r#"{"sub":"eve"}"#);
        // Whoever lacks the claim sees no row, and goes on seeing none.
        assert_eq!(rows(&mut world, client).len(), 0);
        assert_eq!(world.hub().stats().feeds, 1);
    }
}

#[test]
fn who_may_see_more_is_told_what_has_no_room_any_more_and_what_is_forbidden() {
    let mut world = shop();
    let client = client(&mut world, ACME);
    let text = r#"{"edge":"orders","orderBy":"total","limit":2}"#;
    let request = liveset_core::LiveQueryRequest::new("q", Query::parse(text.as_bytes()).unwrap());
    let options = liveset_core::LiveQueryOptions { reasons: true, ..Default::default() };
    world.session(client).create_live_query(liveset_core::LiveQueryRequest { options, ..request });
    world.settle();
    messages(&mut world, client);
    let mut move_to = |token: &str| {
        reauthenticate(&mut world, client, token);
        let got = messages(&mut world, client);
        let gone = got.iter().filter(|message| message["type"] == "liveQueryRemovedNode");
        gone.map(|gone| format!("{} {}", gone["nodeId"], gone["reason"])).collect::<Vec<_>>()
    };
    assert_eq!(move_to(STAFF), [r#""3" "displaced""#]);
    assert_eq!(move_to(ACME), [r#""2" "forbidden""#]);
    assert_eq!(move_to(r#"{"role":"regional","regions":["us"]}"#), [r#""1" "forbidden""#]);
}

#[test]
fn what_waits_is_not_lost_when_the_principal_changes() {
    let mut world = shop();
    world.set_room(1);
    let client = client(&mut world, STAFF);
    create(&mut world, client, "q", ALL);
    messages(&mut world, client);
    world.stall(client);
    for n in 0..20 {
        world.commit(vec![order(10 + n, ["acme", "umbrella"][n as usize % 2], "eu", 100 + n)]).unwrap();
        world.settle();
    }
    world.session(client).authenticate(&Token::new(UMBRELLA));
    world.settle();
    world.commit(vec![order(3, "umbrella", "eu", 1)]).unwrap();
    world.unstall(client);
    world.settle();
    let rows = rows(&mut world, client);
    assert_eq!(rows.len(), 2 + 10 + 1);
    assert!(rows.iter().all(|(_, row)| row["tenant"] == "umbrella" && row["secret"].is_null()));
}

#[test]
fn a_version_of_another_principal_is_answered_by_a_snapshot() {
    let mut world = shop();
    let client = client(&mut world, ACME);
    let request = liveset_core::LiveQueryRequest::new("q", Query::parse(ALL.as_bytes()).unwrap());
    let options = liveset_core::LiveQueryOptions { resume: true, ..Default::default() };
    world.session(client).create_live_query(liveset_core::LiveQueryRequest { options, ..request });
    world.settle();
    messages(&mut world, client);
    let held = world.session(client).live_query("q").unwrap().clone();
    assert!(held.version().is_some());
    world.reconnect(client, UMBRELLA);
    world.settle();
    messages(&mut world, client);
    let request = liveset_core::LiveQueryRequest::new("q", Query::parse(ALL.as_bytes()).unwrap());
    let request = liveset_core::LiveQueryRequest { options, resume_from: Some(held), ..request };
    world.session(client).create_live_query(request);
    world.settle();
    let texts: Vec<_> = messages(&mut world, client);
    assert!(texts.iter().any(|message| message["type"] == "liveQueryCreated"), "{texts:?}");
    assert!(texts.iter().all(|message| message["type"] != "liveQueryResumed"));
    assert_eq!(ids(&texts), [2, 4]);
}

#[test]
fn a_revoked_subject_is_gone_before_the_next_diff() {
    let mut world = shop();
    let (ann, bob) = (client(&mut world, ACME), client(&mut world, UMBRELLA));
    for client in [ann, bob] {
        create(&mut world, client, "q", ALL);
        messages(&mut world, client);
    }
    world.commit(vec![order(1, "acme", "eu", 77), order(2, "umbrella", "eu", 77)]).unwrap();
    let now = world.now();
    assert_eq!(world.hub_mut().revoke(now, "ann"), 1);
    world.settle();
    assert_eq!(error(&mut world, ann), ("TOKEN_EXPIRED".to_owned(), "The token was revoked".to_owned()));
    assert_eq!(world.close_code(ann).map(liveset_core::CloseCode::as_u16), Some(1008));
    assert_eq!(types(&mut world, bob), ["liveQueryUpdatedNode"]);
    assert_eq!(world.hub().stats().live_queries, 1);
}

#[test]
fn reauthorizing_asks_the_policy_again() {
    let mut world = shop();
    let ann = client(&mut world, ACME);
    create(&mut world, ann, "q", ALL);
    messages(&mut world, ann);
    let now = world.now();
    let ended = world.hub_mut().reauthorize(now, |who| {
        let mut claims: Map<String, Value> = (*who.claims).clone();
        claims.insert("tenant".into(), "umbrella".into());
        Some(Principal { claims: Arc::new(claims), ..who.clone() })
    });
    assert_eq!(ended, 0);
    world.settle();
    assert_eq!(rows(&mut world, ann).iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["2", "4"]);
    let past = world.now().monotonic;
    let now = world.now();
    world.hub_mut().reauthorize(now, |who| Some(Principal { expires: Some(past), ..who.clone() }));
    world.settle();
    assert!(world.close_code(ann).is_some(), "what has expired already closes");
}

#[test]
fn what_was_not_sent_to_the_old_principal_is_never_sent() {
    for loading in [true, false] {
        let mut world = shop();
        world.set_room(1);
        let many = (100..1_000).map(|id| order(id, ["acme", "umbrella"][id as usize % 2], "eu", id));
        world.commit(many.collect()).unwrap();
        let client = client(&mut world, STAFF);
        if loading {
            world.stall(client);
        }
        create(&mut world, client, "q", r#"{"edge":"orders","orderBy":"total desc"}"#);
        if !loading {
            world.stall(client);
            for n in 0..600 {
                world.commit(vec![order(2_000 + n, "acme", "secret region", 5_000 + n)]).unwrap();
                world.settle();
            }
        }
        messages(&mut world, client);
        let now = world.now();
        world.hub_mut().reauthorize(now, |_| Some(principal(UMBRELLA)));
        world.settle();
        world.unstall(client);
        world.settle();
        let got = messages(&mut world, client);
        // One message may have been on its way.
        let of_acme = |message: &&Value| message["data"].to_string().contains("acme");
        assert!(got.iter().filter(of_acme).count() <= 1, "loading: {loading}");
        let rows = rows(&mut world, client);
        assert!(rows.iter().all(|(_, row)| row["tenant"] == "umbrella" && row["secret"].is_null()));
        assert_eq!(rows.len(), 452, "loading: {loading}");
        assert!(got.iter().all(|message| message["type"] != "liveQueryCount"));
    }
}

#[test]
fn what_waits_in_a_connection_that_is_shut_down_is_not_sent_to_another_principal() {
    for renewed in [None, Some(ACME), Some(UMBRELLA)] {
        let mut world = shop();
        let client = client(&mut world, ACME);
        create(&mut world, client, "q", ALL);
        messages(&mut world, client);
        world.stall(client);
        world.commit(vec![order(1, "acme", "eu", 77)]).unwrap();
        let now = world.now();
        world.hub_mut().shutdown(now);
        // The policy may have changed, and is not asked of a connection that is over: of the same principal neither.
        if let Some(renewed) = renewed {
            world.hub_mut().reauthorize(now, |_| Some(principal(renewed)));
        }
        world.hub_mut().revoke(now, "somebody else");
        world.unstall(client);
        world.settle();
        let expected: &[&str] = if renewed.is_none() { &["liveQueryUpdatedNode"] } else { &[] };
        assert_eq!(types(&mut world, client), expected);
        assert_eq!(world.close_code(client).map(liveset_core::CloseCode::as_u16), Some(1001));
    }
}

#[test]
fn time_that_is_due_is_not_lost_when_the_principal_changes() {
    let mut world = shop();
    let at = world.now().wall.saturating_add(std::time::Duration::from_secs(60));
    let soon = json!({ "id": 50, "tenant": "acme", "region": "eu", "total": 1, "at": at.to_string() });
    world.commit(vec![upsert("orders", &soon.to_string())]).unwrap();
    let client = client(&mut world, r#"{"sub":"r","role":"regional","regions":["eu","us"]}"#);
    for (id, query) in [("p", ALL), ("q", r#"{"edge":"orders","filter":"at > now"}"#)] {
        create(&mut world, client, id, query);
    }
    assert_eq!(rows(&mut world, client).len(), 1);
    // The moment is due, and nobody has said so.
    let mut now = world.now();
    now.wall = now.wall.saturating_add(std::time::Duration::from_secs(120));
    world
        .hub_mut()
        .reauthorize(now, |_| Some(principal(r#"{"sub":"r","role":"regional","regions":["eu"]}"#)));
    world.settle();
    assert_eq!(rows(&mut world, client).len(), 0);
}

#[test]
fn counts_are_of_the_moment_whoever_reads_slowly() {
    let mut world = shop();
    world.set_room(1);
    let (slow, quick) = (client(&mut world, STAFF), client(&mut world, STAFF));
    world.stall(slow);
    let query = r#"{"edge":"orders","orderBy":"total","limit":2}"#;
    create(&mut world, slow, "q", query);
    // Behind the end of the window, where nobody who watches follows the count.
    world.commit(vec![order(9, "acme", "eu", 900)]).unwrap();
    create(&mut world, quick, "q", query);
    assert_eq!(messages(&mut world, quick)[0]["totalCount"], 5);
}

#[test]
fn a_refusal_says_nothing_of_the_row_filter() {
    let engine = liveset_engine::EngineLimits::default().max_unindexed_views(0);
    let mut world = world(HubConfig { policy: Box::new(Hiding), engine, ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    let client = client(&mut world, ACME);
    create(&mut world, client, "q", r#"{"edge":"orders","filter":"total != 3"}"#);
    let error = messages(&mut world, client).remove(0);
    assert_eq!(error["code"], "LIMIT_EXCEEDED");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("no more than 0") && !message.contains("tenant"), "{message}");
}

/// Everyone but one tenant, by a test that no index finds.
struct Hiding;

impl Policy for Hiding {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::Part(Arc::new(Restriction::rows("tenant != 'umbrella'").fields(["total"])))
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

#[test]
fn a_result_that_is_too_large_for_the_new_principal_ends_at_once() {
    let tuning = liveset_engine::Tuning { small_slices: true, ..Default::default() };
    let engine = liveset_engine::EngineLimits::default().slice_rows(1).tuning(tuning);
    let hub = liveset_hub::HubLimits::default().initial_bytes(200);
    let mut world = world(HubConfig { policy: Box::new(Tenants), engine, hub, ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    world
        .commit((0..8).map(|id| order(id, if id == 0 { "acme" } else { "umbrella" }, "eu", id)).collect())
        .unwrap();
    let client = client(&mut world, ACME);
    create(&mut world, client, "q", ALL);
    assert_eq!(ids(&messages(&mut world, client)), [0]);
    reauthenticate(&mut world, client, STAFF);
    let came = messages(&mut world, client);
    assert_eq!(came[0]["type"], "authenticated");
    assert_eq!((&came[1]["code"], &came[1]["id"]), (&json!("LIMIT_EXCEEDED"), &json!("q")), "{came:?}");
    assert_eq!(world.hub().stats().live_queries, 0);
}

#[test]
fn what_waits_for_room_waits_once_whoever_asks_for_it() {
    let hub = liveset_hub::HubLimits::default().initial_backlog_bytes(0);
    let mut world = world(HubConfig { policy: Box::new(Tenants), hub, ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    world.set_room(1);
    world
        .commit((0..8).map(|id| order(id, if id % 2 == 0 { "acme" } else { "umbrella" }, "eu", id)).collect())
        .unwrap();
    let client = client(&mut world, ACME);
    world.stall(client);
    for n in 0..6 {
        world.session(client).create_live_query(request(&format!("q{n}"), ALL));
        world.settle();
    }
    let deferred = world.hub().stats().deferred;
    assert!(deferred > 0);
    for n in 0..40 {
        reauthenticate(&mut world, client, if n % 2 == 0 { UMBRELLA } else { ACME });
        assert!(world.hub().stats().deferred <= deferred, "{}", world.hub().stats().deferred);
    }
    world.unstall(client);
    world.settle();
    let stats = world.hub().stats();
    assert_eq!((stats.deferred, stats.waiting, stats.live_queries), (0, 0, 6));
    for n in 0..6 {
        assert_eq!(support::shown(&mut world, client, &format!("q{n}")), ["0", "2", "4", "6"]);
    }
}

#[test]
fn more_changes_than_may_wait_end_the_live_query_and_not_the_connection() {
    let session = SessionLimits::default().backlog_bytes(4_000);
    let mut world = world(HubConfig { session, policy: Box::new(Tenants), ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    let region = "r".repeat(1_000);
    world
        .commit((0..8).map(|id| order(id, ["acme", "umbrella"][id as usize % 2], &region, id)).collect())
        .unwrap();
    let client = client(&mut world, ACME);
    create(&mut world, client, "q", ALL);
    create(&mut world, client, "small", r#"{"edge":"orders","node":{"fields":["total"]}}"#);
    messages(&mut world, client);
    reauthenticate(&mut world, client, UMBRELLA);
    assert_eq!(error(&mut world, client).0, "OVERLOADED");
    assert_eq!(world.close_code(client), None);
    let held = world.session(client).live_query("small").expect("the other one stays");
    assert_eq!(held.rows().map(|(id, _)| &**id).collect::<Vec<_>>(), ["1", "3", "5", "7"]);
    assert_eq!(world.hub().stats().live_queries, 1);
}

#[test]
fn a_revocation_asks_the_policy_nothing_and_concerns_nobody_else() {
    struct Once(std::sync::atomic::AtomicBool);

    impl Policy for Once {
        fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
            true
        }

        fn access(&self, _: &Principal, _: &str) -> Access {
            assert!(!self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "asked again");
            Access::All
        }

        fn may_write(&self, _: &Principal) -> bool {
            false
        }
    }

    let policy = Box::new(Once(false.into()));
    let mut world = world(HubConfig { policy, ..HubConfig::default() });
    world.set_authenticator(|token| Ok(principal(token)));
    let (ann, bob) = (client(&mut world, ACME), client(&mut world, UMBRELLA));
    create(&mut world, bob, "q", ALL);
    messages(&mut world, bob);
    let now = world.now();
    assert_eq!(world.hub_mut().revoke(now, "nobody"), 0);
    assert_eq!(world.hub_mut().revoke(now, "ann"), 1);
    world.settle();
    assert!(world.close_code(ann).is_some());
    world.commit(vec![order(9, "acme", "eu", 1)]).unwrap();
    world.settle();
    assert_eq!(types(&mut world, bob), ["liveQueryAddedNode"]);
}

/// Row filters over a set that declares its fields: `level` is a number, `tenant` text.
struct Declared;

impl Policy for Declared {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, who: &Principal, _: &str) -> Access {
        Access::Part(Arc::new(Restriction::rows(match &*who.subject {
            "not" => "tenant != $principal.tenant",
            "below" => "level < $principal.level + 1",
            "broken" => "level == 'high' or tenant == $principal.tenant",
            _ => "tenant == ",
        })))
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

#[test]
fn a_claim_of_a_type_that_the_filter_cannot_use_lets_nothing_through() {
    let mut world = World::new(1, HubConfig { policy: Box::new(Declared), ..HubConfig::default() });
    let set = SetDef::new("orders").field("level", FieldKind::Number).field("tenant", FieldKind::Text);
    world.hub_mut().define_set(set).unwrap();
    world.set_authenticator(|token| Ok(principal(token)));
    let row = |id: u32| upsert("orders", &format!(r#"{{"id":{id},"tenant":"t{id}","level":{id}}}"#));
    world.commit((1..=3).map(row).collect()).unwrap();
    let query = r#"{"edge":"orders"}"#;
    for (token, expected) in [
        (r#"{"sub":"not","tenant":"t1"}"#, &[2, 3][..]),
        (r#"{"sub":"not","tenant":5}"#, &[]),
        (r#"{"sub":"not","tenant":["t1"]}"#, &[]),
        (r#"{"sub":"not"}"#, &[]),
        (r#"{"sub":"below","level":1}"#, &[1]),
        (r#"{"sub":"below","level":"1"}"#, &[]),
        (r#"{"sub":"below","level":true}"#, &[]),
    ] {
        let who = client(&mut world, token);
        create(&mut world, who, "q", query);
        let messages = messages(&mut world, who);
        assert_eq!(messages[0]["type"], "liveQueryCreated", "{token}");
        assert_eq!(messages[0]["totalCount"], expected.len(), "{token}");
        assert_eq!(ids(&messages), expected, "{token}");
    }
    assert_eq!(world.hub().stats().broken_restrictions, 0);
    // What is wrong whoever asks is the host's mistake.
    for token in [r#"{"sub":"broken","tenant":"t1"}"#, r#"{"sub":"wrong","tenant":"t1"}"#] {
        let who = client(&mut world, token);
        create(&mut world, who, "q", query);
        assert_eq!(error(&mut world, who).0, "FORBIDDEN", "{token}");
    }
    assert_eq!(world.hub().stats().broken_restrictions, 2);
}

#[test]
fn hints_tell_of_what_the_principal_sees_and_only_whom_asks() {
    let mut world = shop();
    let tenants = ["acme", "umbrella", "umbrella"];
    let rows = (0..300).map(|n| {
        let tenant = tenants[n as usize % 3];
        let more = if tenant == "acme" { "" } else { r#","total2":1"# };
        upsert(
            "orders",
            &format!(r#"{{"id":{},"tenant":"{tenant}","total":{n},"region":"eu"{more}}}"#, n + 10),
        )
    });
    world.commit(rows.collect()).unwrap();
    let acme = client(&mut world, ACME);
    let staff = client(&mut world, STAFF);
    let query = r#"{"edge":"orders","filter":"region == eu and\n totl > 5","orderBy":"total"}"#;
    let ask = |world: &mut World, who, id: &str, query: &str, hints: bool| {
        let mut asked = request(id, query);
        asked.options.hints = hints;
        world.session(who).create_live_query(asked);
        world.settle();
        messages(world, who).into_iter().find(|message| message["id"] == id).expect("an answer")
    };
    let created = ask(&mut world, staff, "a", query, true);
    assert_eq!(created["type"], "liveQueryCreated");
    let hints = created["hints"].as_array().expect("hints");
    assert_eq!(hints.len(), 2, "{created}");
    assert_eq!((&hints[0]["line"], &hints[0]["column"]), (&json!(1), &json!(11)));
    assert!(hints[0]["text"].as_str().unwrap().contains("text stands in quotes: 'eu'"), "{created}");
    assert_eq!((&hints[1]["line"], &hints[1]["column"]), (&json!(2), &json!(2)));
    assert!(hints[1]["text"].as_str().unwrap().contains("did you mean 'total'?"), "{created}");
    // Nobody else sees the field, and nothing is odd about a good query.
    assert!(ask(&mut world, staff, "b", query, false).get("hints").is_none());
    let good = r#"{"edge":"orders","filter":"region == 'eu' and total2 == 1"}"#;
    assert_eq!(ask(&mut world, staff, "c", good, true)["hints"], json!([]));
    // Of 302 rows the tenant sees 102, none of which has `total2`; and it may not even name it.
    let hidden = ask(&mut world, acme, "d", good, true);
    assert_eq!(hidden["code"], "FORBIDDEN");
    let regional = client(&mut world, r#"{"sub":"rob","role":"regional","regions":["us"]}"#);
    let few = ask(&mut world, regional, "e", r#"{"edge":"orders","filter":"total2 == 1"}"#, true);
    assert_eq!(few["hints"], json!([]), "two rows are too few to say so");
}
