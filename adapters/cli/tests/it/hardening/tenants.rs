//! Shared work never shares data.

use serde_json::{Value, json};

use super::case::{Case, SLACK, Writer};
use super::table::{Line, Row};
use crate::support::metrics::{Metrics, wait_for};
use crate::support::raw::Raw;

const CONFIG: &str = r#"
[auth]
tokens = [
    { token = "writer-token", subject = "shop", claims = { role = "staff" } },
    { token = "s3cret-acme", subject = "ann", read_only = true, claims = { tenant = "acme" } },
    { token = "s3cret-acme-too", subject = "abe", read_only = true, claims = { tenant = "acme" } },
    { token = "s3cret-umbrella", subject = "bob", read_only = true, claims = { tenant = "umbrella" } },
]
[[policy]]
set = "*"
claims = { role = "staff" }
[[policy]]
set = "orders"
rows = "tenant == $principal.tenant"
fields = ["tenant", "total"]
"#;

/// The same query for all, whoever asks.
const QUERY: &str = r#"{"edge":"orders","orderBy":"total desc"}"#;

fn order(id: u32, tenant: &str, total: u32) -> Value {
    json!({ "op": "upsert", "set": "orders", "node": { "id": id, "tenant": tenant, "total": total, "hidden": "s3cret" } })
}

async fn client(address: &str, token: &str) -> Raw {
    let mut raw = Raw::connect(address).await;
    raw.authenticate(token).await;
    raw
}

pub async fn two_tenants(row: Row) -> Line {
    let mut case = Case::start(row, CONFIG).await;
    let mut writer = Writer::new(&case.address);
    case.rounds(8, SLACK, async |case: &mut Case| {
        writer.commit(&json!([order(1, "acme", 10), order(2, "umbrella", 20), order(3, "acme", 30)])).await;
        let feeds = Metrics::read(&case.address).await.value("liveset_feeds");
        let mut acme = client(&case.address, "s3cret-acme").await;
        let mut too = client(&case.address, "s3cret-acme-too").await;
        let mut umbrella = client(&case.address, "s3cret-umbrella").await;
        for (raw, rows) in [
            (&mut acme, json!([{ "id": 3, "tenant": "acme", "total": 30 }, { "id": 1, "tenant": "acme", "total": 10 }])),
            (&mut too, json!([{ "id": 3, "tenant": "acme", "total": 30 }, { "id": 1, "tenant": "acme", "total": 10 }])),
            (&mut umbrella, json!([{ "id": 2, "tenant": "umbrella", "total": 20 }])),
        ] {
            let created = raw.ask(&format!(r#"{{"type":"createLiveQuery","id":"q","query":{QUERY}}}"#)).await;
            assert_eq!((&created["type"], &created["totalCount"]), (&json!("liveQueryCreated"), &json!(rows.as_array().map(Vec::len))));
            assert_eq!(raw.receive_json().await["data"], rows);
        }
        // Work is shared by those who may see the same, and by nobody else.
        wait_for(&case.address, ["liveset_feeds"], [feeds + 2]).await;
        // A row that changes hands: the one tenant is told that it is gone, the other that it is there, and no more than that.
        writer.commit(&json!([order(3, "umbrella", 5)])).await;
        for raw in [&mut acme, &mut too] {
            assert_eq!(raw.receive_json().await, json!({ "type": "liveQueryRemovedNode", "id": "q", "nodeId": "3" }));
        }
        let data = json!({ "id": 3, "tenant": "umbrella", "total": 5 });
        assert_eq!(umbrella.receive_json().await, json!({ "type": "liveQueryAddedNode", "id": "q", "nodeId": "3", "data": data }));
        case.served().await;
        // What belongs to others, and what there is not, look the same.
        for (foreign, unknown) in [("id == 2", "id == 999"), ("tenant == 'umbrella'", "tenant == 'nobody'"), ("total > 10 and id == 2", "total > 10 and id == 999")] {
            let ask = async |raw: &mut Raw, filter: &str| {
                let query = json!({ "edge": "orders", "filter": filter });
                raw.send_json(&json!({ "type": "createLiveQuery", "id": "other", "query": query })).await;
                let answers = [raw.receive_json().await, raw.receive_json().await];
                assert_eq!(raw.ask(r#"{"type":"destroyLiveQuery","id":"other"}"#).await["type"], "liveQueryDestroyed");
                answers
            };
            let answers = ask(&mut acme, foreign).await;
            assert_eq!(answers[0]["totalCount"], 0);
            assert_eq!(answers, ask(&mut acme, unknown).await);
        }
        let unknown = acme.ask(r#"{"type":"destroyLiveQuery","id":"r"}"#).await;
        let created = umbrella.ask(&format!(r#"{{"type":"createLiveQuery","id":"r","query":{QUERY}}}"#)).await;
        assert_eq!(created["type"], "liveQueryCreated");
        assert_eq!(acme.ask(r#"{"type":"destroyLiveQuery","id":"r"}"#).await, unknown, "ids are a connection's own");
        assert_eq!(unknown["code"], "UNKNOWN_ID");
        // A field that is hidden cannot be asked for, and a set that is not theirs looks like one that there is not.
        for query in [
            json!({ "edge": "orders", "filter": "hidden == 's3cret'" }),
            json!({ "edge": "orders", "orderBy": "hidden" }),
            json!({ "edge": "orders", "node": { "fields": ["hidden"] } }),
            json!({ "edge": "bystander" }),
            json!({ "edge": "no-such-set" }),
        ] {
            acme.send_json(&json!({ "type": "createLiveQuery", "id": "f", "query": query })).await;
            assert_eq!(acme.error().await, "FORBIDDEN", "{query}");
        }
        for raw in [acme, too, umbrella] {
            raw.leave().await;
        }
    })
    .await;
    case.moved("liveset_errors_total{code=\"FORBIDDEN\"}").await;
    case.logged("the client is told of an error code=\"FORBIDDEN\"");
    case.finish(
        "two tenants with the same query; a row that changes hands; filters on rows, ids and fields of the other",
        "each its rows; feeds shared within a tenant only; what is foreign answered as what is unknown; hidden fields `FORBIDDEN`",
    )
    .await
}
