//! The simulated shop: orders that arrive, move on, change and, once they are old, go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::happening::{Happening, Millis, stamp};
use crate::load::random::Random;

/// The set's name.
pub(super) const ORDERS: &str = "orders";
/// Above this number the oldest finished order goes for each one that arrives.
pub(super) const KEPT_ORDERS: usize = 400;
/// So many orders are open in the long run: with fewer, more arrive; with more, more move on.
const USUALLY_OPEN: f64 = 140.0;

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farah", "Grace", "Hiro", "Inês", "Jonas", "Kaia",
    "Leila", "Mateo", "Nour", "Zoë",
];
const LAST_NAMES: [&str; 12] = [
    "Benali",
    "Carvalho",
    "Fischer",
    "Haddad",
    "Keller",
    "Lindqvist",
    "Mwangi",
    "Nilsen",
    "Okafor",
    "Rossi",
    "Tanaka",
    "Yılmaz",
];
/// Stock-keeping units with their prices in cents.
const GOODS: [(&str, u32); 20] = [
    ("APRON-02", 3490),
    ("BOWL-11", 1890),
    ("BREAD-KNIFE", 4250),
    ("CANDLE-05", 1290),
    ("COFFEE-250", 990),
    ("COFFEE-1000", 3290),
    ("GRINDER-01", 12_900),
    ("JUG-07", 2750),
    ("KETTLE-03", 6990),
    ("LINEN-12", 5490),
    ("MUG-01", 1450),
    ("MUG-04", 1650),
    ("PAN-24", 7990),
    ("PAN-28", 8990),
    ("PLATE-09", 1590),
    ("SCALE-02", 3990),
    ("TEA-100", 890),
    ("TEAPOT-06", 4590),
    ("TRAY-03", 2290),
    ("VASE-08", 3190),
];
const TAGS: [&str; 5] = ["business", "express", "first-order", "fragile", "gift"];
const MOST_ITEMS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Processing,
    Shipped,
    Delivered,
    Cancelled,
}

impl Status {
    /// ```text
    /// pending ──► processing ──► shipped ──► delivered
    ///    └──────────────┴──► cancelled
    /// ```
    fn next(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Processing),
            Self::Processing => Some(Self::Shipped),
            Self::Shipped => Some(Self::Delivered),
            Self::Delivered | Self::Cancelled => None,
        }
    }

    fn is_open(self) -> bool {
        self.next().is_some()
    }

    fn may_change(self) -> bool {
        matches!(self, Self::Pending | Self::Processing)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Customer {
    id: String,
    name: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: String,
    number: u64,
    status: Status,
    customer: Customer,
    total: f64,
    currency: &'static str,
    items: Vec<&'static str>,
    tags: Vec<&'static str>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipped_at: Option<String>,
    #[serde(skip)]
    touched: Millis,
    #[serde(skip)]
    checkpoints: u64,
}

/// An order as a store has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id: String,
    number: u64,
    status: Status,
    customer: Customer,
    items: Vec<String>,
    tags: Vec<String>,
    created_at: String,
    updated_at: String,
    shipped_at: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoint<'a> {
    actor_type: &'static str,
    actor_id: &'a str,
    checkpoint: u64,
    created_at: &'a str,
}

/// Work that the shop leaves to the job runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chore {
    pub(super) job_definition: &'static str,
    pub(super) order_id: String,
}

/// The shop's orders, by number: the smallest is the oldest.
#[derive(Debug)]
pub(super) struct Shop {
    orders: BTreeMap<u64, Order>,
    customers: Vec<Customer>,
    next_number: u64,
}

impl Shop {
    /// A shop without orders.
    pub(super) fn new(random: &mut Random) -> Self {
        let customers = (1..=60)
            .map(|n| Customer {
                id: format!("C-{n:03}"),
                name: format!("{} {}", random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES)),
            })
            .collect();
        Self { orders: BTreeMap::new(), customers, next_number: 10_001 }
    }

    /// Goes on with an order that was stored. What is no order of this shop, because somebody else has put it there, is left alone.
    pub(super) fn take_back(&mut self, now: Millis, row: &[u8]) {
        let Ok(Stored { id, number, status, customer, items, tags, created_at, updated_at, shipped_at }) =
            serde_json::from_slice(row)
        else {
            return;
        };
        let sku = |item: &String| GOODS.iter().map(|(sku, _)| *sku).find(|sku| sku == item);
        let tag = |name: &String| TAGS.into_iter().find(|tag| tag == name);
        let items: Option<Vec<_>> = items.iter().map(sku).collect();
        let tags: Option<Vec<_>> = tags.iter().map(tag).collect();
        let (Some(items), Some(tags)) = (items, tags) else { return };
        let order = Order {
            id,
            number,
            status,
            customer,
            total: total(&items),
            currency: "EUR",
            items,
            tags,
            created_at,
            updated_at,
            shipped_at,
            touched: now,
            checkpoints: 0,
        };
        self.next_number = self.next_number.max(number.saturating_add(1));
        self.orders.insert(number, order);
    }

    /// One thing happens in the shop; the answer is what the runner is to do about it.
    pub(super) fn act(&mut self, random: &mut Random, now: &mut Happening) -> Option<Chore> {
        let open: Vec<u64> = self.orders.values().filter(|o| o.status.is_open()).map(|o| o.number).collect();
        let fullness = open.len() as f64 / USUALLY_OPEN;
        let arrive = 30.0 * (2.0 - fullness).clamp(0.1, 2.0);
        let advance = 90.0 * fullness.clamp(0.0, 2.0);
        let (edit, cancel) = if open.is_empty() { (0.0, 0.0) } else { (24.0, 5.0) };

        let mut roll = random.fraction() * (arrive + advance + edit + cancel);
        if roll < arrive || open.is_empty() {
            return Some(self.take_order(random, now));
        }
        roll -= arrive;
        if roll < advance {
            return self.advance_one(&open, random, now);
        }
        let number = *random.pick(&open);
        if roll - advance < edit { self.edit(number, random, now) } else { self.cancel(number, now) }
    }

    /// Every order as it stands.
    pub(super) fn tell_all(&self, now: &mut Happening) {
        for order in self.orders.values() {
            now.upsert(ORDERS, order);
        }
    }

    fn take_order(&mut self, random: &mut Random, now: &mut Happening) -> Chore {
        if self.orders.len() >= KEPT_ORDERS {
            self.forget_oldest(now);
        }
        let mut items: Vec<_> = (0..1 + random.below(4)).map(|_| *random.pick(&GOODS)).collect();
        items.sort_unstable();
        let mut order = Order {
            id: random.uuid(),
            number: self.next_number,
            status: Status::Pending,
            customer: random.pick(&self.customers).clone(),
            total: 0.0,
            currency: "EUR",
            items: items.into_iter().map(|(sku, _)| sku).collect(),
            tags: TAGS.into_iter().filter(|_| random.chance(0.16)).collect(),
            created_at: stamp(now.at),
            updated_at: String::new(),
            shipped_at: None,
            touched: now.at,
            checkpoints: 0,
        };
        order.total = total(&order.items);
        self.next_number += 1;
        let chore = Chore { job_definition: "capture-payment", order_id: order.id.clone() };
        tell(&mut order, now);
        self.orders.insert(order.number, order);
        chore
    }

    fn advance_one(&mut self, open: &[u64], random: &mut Random, now: &mut Happening) -> Option<Chore> {
        // Of a few, the one that has waited longest: orders move on roughly in turn.
        let number = (0..3)
            .map(|_| *random.pick(open))
            .min_by_key(|number| self.orders.get(number).map_or(Millis::MAX, |order| order.touched))?;
        let order = self.orders.get_mut(&number)?;
        order.status = order.status.next()?;
        let job_definition = match order.status {
            Status::Processing => None,
            Status::Shipped => {
                order.shipped_at = Some(stamp(now.at));
                Some("send-shipping-notice")
            }
            _ => random.chance(0.3).then_some("ask-for-review"),
        };
        tell(order, now);
        job_definition.map(|job_definition| Chore { job_definition, order_id: order.id.clone() })
    }

    fn edit(&mut self, number: u64, random: &mut Random, now: &mut Happening) -> Option<Chore> {
        let order = self.orders.get_mut(&number)?;
        if order.status.may_change() && random.chance(0.5) {
            if order.items.len() > 1 && (order.items.len() >= MOST_ITEMS || random.chance(0.4)) {
                order.items.remove(random.below(order.items.len()));
            } else {
                order.items.push(random.pick(&GOODS).0);
                order.items.sort_unstable();
            }
            order.total = total(&order.items);
        } else {
            let tag = *random.pick(&TAGS);
            match order.tags.iter().position(|each| *each == tag) {
                Some(at) => {
                    order.tags.remove(at);
                }
                None => {
                    order.tags.push(tag);
                    order.tags.sort_unstable();
                }
            }
        }
        tell(order, now);
        None
    }

    fn cancel(&mut self, number: u64, now: &mut Happening) -> Option<Chore> {
        let order = self.orders.get_mut(&number)?;
        if !order.status.may_change() {
            return None;
        }
        order.status = Status::Cancelled;
        tell(order, now);
        Some(Chore { job_definition: "refund-payment", order_id: order.id.clone() })
    }

    /// The oldest finished order goes; where none is finished, the oldest.
    fn forget_oldest(&mut self, now: &mut Happening) {
        let finished = self.orders.values().find(|order| !order.status.is_open()).map(|order| order.number);
        let oldest = finished.or_else(|| self.orders.keys().next().copied());
        if let Some(order) = oldest.and_then(|number| self.orders.remove(&number)) {
            now.remove(ORDERS, order.id);
        }
    }
}

/// The sum of the goods' prices, rounded to cents once.
fn total(items: &[&str]) -> f64 {
    let cents: u32 = items
        .iter()
        .filter_map(|sku| GOODS.iter().find(|(name, _)| name == sku))
        .map(|(_, cents)| cents)
        .sum();
    f64::from(cents) / 100.0
}

/// The order as it now is, and its checkpoint.
fn tell(order: &mut Order, now: &mut Happening) {
    order.touched = now.at;
    order.updated_at = stamp(now.at);
    order.checkpoints += 1;
    now.upsert(ORDERS, order);
    let checkpoint = Checkpoint {
        actor_type: "orders",
        actor_id: &order.id,
        checkpoint: order.checkpoints,
        created_at: &order.updated_at,
    };
    now.emit(format!("actors/orders/{}", order.id), "actorCheckpoint", &checkpoint);
}
