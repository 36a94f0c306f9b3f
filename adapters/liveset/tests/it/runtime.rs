//! A runtime without a timer is refused: no deadline would ever come.

use liveset::{BuildError, Liveset, SetDef};
use tokio::runtime::Builder;

#[test]
fn without_a_timer_nothing_starts() {
    let lame = Builder::new_current_thread().enable_io().build().unwrap();
    let built = lame.block_on(async { Liveset::builder().set(SetDef::new("orders")).build().map(drop) });
    assert_eq!(built, Err(BuildError::NoTimer));
    // Outside of a runtime nobody knows yet which it will be.
    let liveset = Liveset::builder().set(SetDef::new("orders")).build().unwrap();
    let served = lame.block_on(async {
        let (server, _client) = tokio::io::duplex(64);
        let handle = liveset.clone();
        tokio::spawn(async move { handle.serve(server, None).await }).await
    });
    let panic = served.unwrap_err().into_panic();
    let said = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(said.contains("needs a tokio runtime with its timer"), "{said}");
    // Committing does without, and another runtime may be better.
    lame.block_on(async {
        liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1 }))).map(drop)
    })
    .unwrap();
    let whole = Builder::new_current_thread().enable_all().build().unwrap();
    whole.block_on(async {
        let (server, client) = tokio::io::duplex(64);
        let serving = tokio::spawn(async move { liveset.serve(server, None).await });
        drop(client);
        serving.await.unwrap();
    });
}
