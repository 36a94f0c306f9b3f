//! Tokens are judged by the host, in its own time, and whatever that does stays there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use liveset::{Denied, Grant, Liveset, Renewal, SetDef, StaticTokens, from_fn};
use serde_json::json;

use crate::support::{self, Client, connect, eventually, listen, pipe};

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_new_list_counts_at_once() {
    let tokens = StaticTokens::new([("old", Grant::new("alice"))]);
    let liveset = Liveset::builder().authenticator(tokens.clone()).build().unwrap();
    let address = listen(&liveset).await;
    let attempt = async |token: &str| {
        let mut client = connect(address).await;
        client.send(json!({ "type": "auth", "token": token, "requestId": "r" })).await;
        (client.receive().await, client)
    };
    let (answer, mut old) = attempt("old").await;
    assert_eq!(answer, json!({ "type": "authenticated", "requestId": "r" }));
    let (answer, mut wrong) = attempt("new").await;
    assert_eq!((&answer["code"], &answer["requestId"]), (&json!("AUTH_FAILED"), &json!("r")));
    assert_eq!(wrong.close_code().await, 1008);

    tokens.replace([("new", Grant::new("alice"))]);
    assert_eq!(attempt("new").await.0["type"], "authenticated");
    assert_eq!(attempt("old").await.0["code"], "AUTH_FAILED");
    old.assert_alive().await;
}

#[tokio::test]
async fn without_an_authenticator_nobody_comes_in() {
    let liveset = Liveset::builder().build().unwrap();
    let mut client = connect(listen(&liveset).await).await;
    client.send(json!({ "type": "auth", "token": "t" })).await;
    assert_eq!(client.error().await, "AUTH_FAILED");
    assert_eq!(client.close_code().await, 1008);
    assert_eq!(liveset.authenticate("t", None).await, Err(Denied::Token));
}

#[tokio::test]
async fn an_authenticator_that_panics_refuses() {
    let authenticator = from_fn(|token| async move {
        assert_ne!(token.expose(), "bomb", "boom");
        Ok(Grant::new("alice"))
    });
    let liveset = Liveset::builder().authenticator(authenticator).build().unwrap();
    let address = listen(&liveset).await;
    let mut bystander = support::authenticated(address).await;
    let mut client = connect(address).await;
    client.send(json!({ "type": "auth", "token": "bomb" })).await;
    assert_eq!(client.error().await, "AUTH_FAILED");
    assert_eq!(client.close_code().await, 1008);
    bystander.assert_alive().await;
}

#[tokio::test(start_paused = true)]
async fn messages_wait_while_a_token_is_judged() {
    let authenticator = from_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(Grant::new("alice"))
    });
    let liveset = Liveset::builder().set(SetDef::new("orders")).authenticator(authenticator).build().unwrap();
    let (client, _) = pipe(&liveset, 64 * 1024);
    let mut client = Client::over(client).await;
    client.send(json!({ "type": "auth", "token": "t" })).await;
    client.send(json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } })).await;
    assert_eq!(client.receive().await["type"], "authenticated");
    assert_eq!(client.receive().await["type"], "liveQueryCreated");
}

/// Counts how many of its like are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn judging_is_given_up_with_the_connection() {
    let alive = Arc::new(AtomicUsize::new(0));
    let authenticator = from_fn({
        let alive = alive.clone();
        move |_| {
            let alive = Alive::new(&alive);
            async move {
                let _alive = alive;
                std::future::pending().await
            }
        }
    });
    let liveset = Liveset::builder().authenticator(authenticator).build().unwrap();
    let mut client = connect(listen(&liveset).await).await;
    client.send(json!({ "type": "auth", "token": "t" })).await;
    eventually("the token is being judged", || alive.load(Ordering::SeqCst) == 1).await;
    drop(client);
    eventually("it is given up", || alive.load(Ordering::SeqCst) == 0).await;
    eventually("the connection is freed", || liveset.stats().connections == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_ends_the_connection() {
    let authenticator =
        from_fn(|_| async { Ok(Grant::new("alice").expires(SystemTime::now() + Duration::from_secs(100))) });
    let liveset = Liveset::builder().authenticator(authenticator).build().unwrap();
    let mut client = in_memory(&liveset).await;
    let started = tokio::time::Instant::now();
    // `error` answers pings on the way.
    assert_eq!(client.error().await, "TOKEN_EXPIRED");
    assert!(
        started.elapsed().abs_diff(Duration::from_secs(100)) < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(client.close_code().await, 1008);

    let ended = Grant::new("alice").expires(SystemTime::now() - Duration::from_secs(1));
    let tokens = StaticTokens::new([("ended", ended)]);
    let liveset = Liveset::builder().authenticator(tokens).build().unwrap();
    assert_eq!(liveset.authenticate("ended", None).await, Err(Denied::Token));
}

/// Whoever has a tenant sees its orders.
struct OfTenants;

impl liveset::Policy for OfTenants {
    fn may_subscribe(&self, _: &liveset::Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn access(&self, _: &liveset::Principal, _: &str) -> liveset::Access {
        liveset::Access::Part(Arc::new(liveset::Restriction::rows("tenant == $principal.tenant")))
    }

    fn may_write(&self, _: &liveset::Principal) -> bool {
        false
    }
}

#[tokio::test]
async fn claims_decide_and_can_be_taken_back() {
    let tokens = StaticTokens::new([
        ("a", Grant::new("ann").claim("tenant", "acme")),
        ("b", Grant::new("bob").claim("tenant", "umbrella")),
    ]);
    let liveset = Liveset::builder()
        .set(SetDef::new("orders"))
        .authenticator(tokens)
        .policy(OfTenants)
        .build()
        .unwrap();
    let put = |id: u32, tenant: &str| {
        liveset.commit(|tx| tx.upsert("orders", &json!({ "id": id, "tenant": tenant }))).unwrap();
    };
    put(1, "acme");
    put(2, "umbrella");
    let address = listen(&liveset).await;
    let mut clients = Vec::new();
    for token in ["a", "b"] {
        let mut client = connect(address).await;
        client.send(json!({ "type": "auth", "token": token })).await;
        client.receive().await;
        let rows = client.create("q", json!({ "edge": "orders" })).await;
        assert_eq!(rows.len(), 1);
        clients.push(client);
    }
    let [mut ann, mut bob] = <[_; 2]>::try_from(clients).ok().unwrap();

    // Ann changes sides: what she had goes, what she may see now comes, and Bob notices nothing.
    let renew = |who: &liveset::Principal| {
        Renewal::Replace(Grant::new(who.subject.clone()).claim("tenant", "umbrella"))
    };
    assert_eq!(liveset.reauthorize(renew), 0);
    let removed = ann.receive().await;
    assert_eq!((&removed["type"], &removed["nodeId"]), (&json!("liveQueryRemovedNode"), &json!("1")));
    let added = ann.receive().await;
    assert_eq!((&added["type"], &added["data"]["id"]), (&json!("liveQueryAddedNode"), &json!(2)));

    assert_eq!(liveset.revoke("ann"), 1);
    put(3, "umbrella");
    assert_eq!(ann.error().await, "TOKEN_EXPIRED");
    assert_eq!(ann.close_code().await, 1008);
    assert_eq!(bob.receive().await["nodeId"], "3");
    assert_eq!(liveset.revoke("nobody"), 0);
}

/// A client that has authenticated, without a socket: its time can be paused.
async fn in_memory(liveset: &Liveset) -> Client<tokio::io::DuplexStream> {
    let (client, _) = pipe(liveset, 64 * 1024);
    let mut client = Client::over(client).await;
    client.authenticate().await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_principal_that_is_replaced_ends_with_the_token_that_let_it_in() {
    let authenticator =
        from_fn(|_| async { Ok(Grant::new("alice").expires(SystemTime::now() + Duration::from_secs(100))) });
    let liveset = Liveset::builder().authenticator(authenticator).build().unwrap();
    let mut client = in_memory(&liveset).await;
    assert_eq!(liveset.reauthorize(|who| Renewal::Replace(Grant::new(who.subject.clone()))), 0);
    let later = SystemTime::now() + Duration::from_secs(1_000);
    liveset.reauthorize(|who| Renewal::Replace(Grant::new(who.subject.clone()).expires(later)));
    assert_eq!(client.error().await, "TOKEN_EXPIRED");

    // With the list that its token is of, too.
    let tokens = StaticTokens::new([("t", Grant::new("alice"))]);
    let liveset = Liveset::builder().authenticator(tokens.clone()).build().unwrap();
    let mut client = in_memory(&liveset).await;
    liveset.reauthorize(|who| Renewal::Replace(Grant::new(who.subject.clone()).claim("role", "other")));
    tokens.replace([("u", Grant::new("bob"))]);
    assert_eq!(liveset.reauthorize(|who| tokens.renew(who)), 1);
    assert_eq!(client.error().await, "TOKEN_EXPIRED");
}
