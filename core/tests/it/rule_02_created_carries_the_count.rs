//! Rule 2: "`liveQueryCreated` carries `totalCount`, the exact number of matching nodes, and `capped`."

use liveset_core::{Count, SessionLimits, Snapshot};

use crate::util::*;

#[test]
fn total_count_and_capped_are_the_owners() {
    let mut server = Server::active(SessionLimits::default());
    let whole = Snapshot { count: Count { total: 1742, capped: true }, ..snapshot(9, &[("a", 1)]) };
    server.create("lq-orders", "", whole);
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"liveQueryCreated","id":"lq-orders","totalCount":1742,"capped":true}"#,
            r#"{"type":"liveQueryData","id":"lq-orders","data":[{"id":"a","n":1}],"hasMore":false,"capped":true}"#,
        ]
    );
}
