//! The newest orders of `liveset demo`, as they change.

use liveset_client::Client;

#[derive(serde::Deserialize)]
struct Order {
    id: String,
    status: String,
    total: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder("ws://127.0.0.1:8080/ws").token("any").connect()?;
    let mut orders = client
        .live::<Order>("orders")
        .filter("status != $status")
        .bind("status", "delivered")
        .order_by("createdAt desc")
        .limit(5)
        .subscribe()
        .await?;
    while orders.changed().await {
        println!("{:?}", orders.status());
        for order in orders.rows() {
            println!("{:10} {:12} {:10.2}", order.id, order.status, order.total);
        }
    }
    Ok(())
}
