//! Who may see what, once as the policy of the hub says it and once as the oracle does.

use std::sync::Arc;

use liveset_core::{LiveQueryOptions, Monotonic};
use liveset_hub::{Access, Policy, Principal, Restriction};
use serde_json::{Value, json};

use crate::oracle::build::{all, any, names, not, now, num, path, text};
use crate::oracle::{Cmp, Direction, Expr, Lit, Query, Sum, Unit, print_path};

pub(super) const SET: &str = "orders";
/// What everybody sees of a row, where fields are hidden.
const VISIBLE: [&str; 5] = ["id", "tenant", "name", "total", "at"];
/// What no text but a hidden one has in it, and no number.
const SECRET: [&str; 2] = ["SSSS", "62626262"];
pub(super) const PATHS: [&str; 3] = ["jobs/a", "jobs/b", "jobs"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    A,
    B,
    /// Sees everything.
    Staff,
    /// Has none of the claims that row filters name.
    Guest,
}

impl Role {
    pub(super) fn new(choice: u8) -> Self {
        [Self::A, Self::B, Self::Staff, Self::Guest][usize::from(choice) % 4]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Staff => "staff",
            Self::Guest => "guest",
        }
    }

    /// What stands in every text of the tenant's rows and in none of the other's.
    pub(super) fn marker(self) -> &'static str {
        match self {
            Self::A => "AAAA",
            Self::B => "BBBB",
            Self::Staff | Self::Guest => "",
        }
    }

    /// The same for numbers and moments: digits of their fractions.
    pub(super) fn digits(self) -> &'static str {
        match self {
            Self::A => "71717171",
            Self::B => "83838383",
            Self::Staff | Self::Guest => "",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
            same => same,
        }
    }

    pub(super) fn principal(self, expires: Option<Monotonic>) -> Principal {
        let claims = match self {
            Self::A | Self::B => json!({ "tenant": self.marker(), "tenants": [self.marker()] }),
            Self::Staff => json!({ "staff": true }),
            Self::Guest => json!({ "tenant": null, "tenants": [{}] }),
        };
        let Value::Object(claims) = claims else { unreachable!("it is an object") };
        Principal { claims: Arc::new(claims), expires, ..Principal::new(self.name()) }
    }

    pub(super) fn of(who: &Principal) -> Self {
        match who.claims.get("tenant").and_then(Value::as_str) {
            Some("AAAA") => Self::A,
            Some("BBBB") => Self::B,
            _ if who.claims.contains_key("staff") => Self::Staff,
            _ => Self::Guest,
        }
    }

    pub(super) fn may_subscribe(self, path: &str) -> bool {
        match self {
            Self::A => path == PATHS[0],
            Self::B => path == PATHS[1],
            Self::Staff => true,
            Self::Guest => false,
        }
    }
}

/// The policy of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    row_filter: u8,
    hides_fields: bool,
    /// Live queries over more than one node wait for their result.
    pub(super) in_slices: bool,
}

impl Rules {
    pub(super) fn new(choice: u8) -> Self {
        Self { row_filter: choice % 4, hides_fields: choice & 4 == 0, in_slices: choice & 8 != 0 }
    }

    /// Whether the row filter of guests is no filter: nothing is theirs to ask, which is counted.
    fn breaks_for_guests(self) -> bool {
        self.row_filter == 3
    }

    /// What must not be in anything that is sent to somebody in this role; nobody is who has not authenticated.
    pub(super) fn forbidden_text(self, role: Option<Role>) -> Vec<&'static str> {
        let of = |tenant: Role| [tenant.marker(), tenant.digits()];
        let nothing: &[&str] = &[];
        let (a, b, secret) =
            (of(Role::A), of(Role::B), if self.hides_fields { &SECRET[..] } else { nothing });
        match role {
            Some(Role::Staff) => vec![],
            Some(Role::A) => [&b, secret].concat(),
            Some(Role::B) => [&a, secret].concat(),
            Some(Role::Guest) | None => [&a[..], &b, &SECRET].concat(),
        }
    }

    /// The query as the role sees its result; `None` where it may not ask it.
    pub(super) fn seen(self, role: Role, choice: &Choice) -> Option<Query> {
        let mut query = choice.query();
        if role == Role::Staff {
            return (choice.edge == SET).then_some(query);
        }
        let is_broken = role == Role::Guest && self.breaks_for_guests();
        if is_broken || choice.edge != SET || (self.hides_fields && choice.names_hidden()) {
            return None;
        }
        let tenant = path("tenant").eq(text(role.marker()));
        let rows = match self.row_filter {
            0 | 1 => tenant,
            2 => all([tenant, path("level").lt(num("2"))]),
            _ => all([tenant, not(path("at").gt(now()))]),
        };
        // Whoever lacks a claim sees no row.
        let rows = if role == Role::Guest { Expr::Const(false) } else { rows };
        query.filter = Some(match query.filter.take() {
            Some(filter) => all([rows, filter]),
            None => rows,
        });
        if self.hides_fields && query.fields.is_none() {
            query.fields = Some(VISIBLE.map(names).into());
        }
        Some(query)
    }
}

impl Policy for Rules {
    fn may_subscribe(&self, who: &Principal, path: &str, _: &[Arc<str>]) -> bool {
        Role::of(who).may_subscribe(path)
    }

    fn access(&self, who: &Principal, edge: &str) -> Access {
        if edge != SET {
            return Access::Nothing;
        }
        if Role::of(who) == Role::Staff {
            return Access::All;
        }
        let rows = Restriction::rows(match self.row_filter {
            0 => "tenant == $principal.tenant",
            1 => "tenant in $principal.tenants",
            2 => "tenant == $principal.tenant and level < 2",
            _ if Role::of(who) == Role::Guest && self.breaks_for_guests() => "tenant ==",
            _ => "tenant == $principal.tenant and not at > now",
        });
        Access::Part(Arc::new(if self.hides_fields { rows.fields(VISIBLE) } else { rows }))
    }

    fn may_write(&self, _: &Principal) -> bool {
        false
    }
}

/// A total of a tenant's row, as it is compared with.
fn total(of: Role, whole: u8) -> Sum {
    num(&format!("{whole}.{}", of.digits()))
}

/// A query that somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    filter: u8,
    order: u8,
    limit: Option<u64>,
    fields: u8,
    pub(super) options: LiveQueryOptions,
    edge: &'static str,
}

impl Choice {
    pub(super) fn new(args: &[u8]) -> Self {
        let arg = |n: usize| args.get(n).copied().unwrap_or(0);
        let bits = arg(4);
        Self {
            filter: arg(0) % 16,
            order: arg(1) % 6,
            limit: [None, Some(1), Some(2), Some(3)][usize::from(arg(2)) % 4],
            fields: arg(3) % 6,
            options: LiveQueryOptions {
                positions: bits & 1 != 0,
                counts: bits & 2 != 0,
                reasons: bits & 4 != 0,
                resume: bits & 8 != 0,
                status: false,
                hints: bits & 16 != 0,
            },
            edge: if arg(5) == 1 { "users" } else { SET },
        }
    }

    fn filter(&self) -> Option<Expr> {
        Some(match self.filter {
            0 => return None,
            1 => path("total").gt(num("2")),
            2 => path("name").starts_with(text("AAAA")),
            3 => path("name").starts_with(text("BBBB")),
            4 => path("tenant").eq(text("BBBB")),
            5 => path("tenant").ne(text("AAAA")),
            6 => any([not(path("tenant").eq(text("AAAA"))), path("total").lt(num("3"))]),
            7 => path("at").le(now()),
            8 => path("at").gt(now().minus(1, Unit::Minutes)),
            9 => Expr::Const(true),
            10 => path("tenant").is_in(vec![Lit::Text("BBBB".into()), Lit::Text("AAAA".into())]),
            11 => not(any([path("total").eq(total(Role::A, 1)), path("total").eq(total(Role::B, 4))])),
            12 => any([path("name").ne(text("AAAA-1")), path("name").eq(text("BBBB-2"))]),
            13 => path("secret").starts_with(text("SSSS")),
            14 => any([path("total").eq(total(Role::A, 1)), path("level").gt(num("1"))]),
            _ => Expr::Compare(Sum::Path(names("level")), Cmp::Ge, Sum::Path(names("total"))),
        })
    }

    fn names_hidden(&self) -> bool {
        self.filter >= 13 || self.order >= 4 || self.fields >= 4
    }

    fn query(&self) -> Query {
        let mut query = Query::new(self.edge);
        query.filter = self.filter();
        query.limit = self.limit;
        let query = match self.order {
            0 => query,
            1 => query.order("total", Direction::Desc),
            2 => query.order("at", Direction::Asc).order("name", Direction::Desc),
            3 => query.order("name", Direction::Asc),
            4 => query.order("secret", Direction::Asc),
            _ => query.order("total", Direction::Asc).order("level", Direction::Desc),
        };
        match self.fields {
            0 => query,
            1 => query.fields(&["name"]),
            2 => query.fields(&["total", "at"]),
            3 => query.fields(&["tenant"]),
            4 => query.fields(&["secret", "name"]),
            _ => query.fields(&["level"]),
        }
    }

    pub(super) fn spec(&self) -> liveset_core::Query {
        let query = self.query();
        liveset_core::Query {
            set: query.set.clone(),
            filter: query.filter_text(),
            params: Default::default(),
            order_by: query.order_text(),
            limit: query.limit,
            fields: query
                .fields
                .map(|fields| fields.iter().map(|path| print_path(path, &mut |_| 0)).collect()),
        }
    }
}
