//! Every number that bounds what this package accepts.

/// How large a filter, an order or a list of fields may be.
///
/// Whatever exceeds one of these is refused with an [`ExprError`](crate::ExprError) that points at the place where the limit
/// was crossed; nothing is cut short silently. All of them are counted while parsing, so that an expression over a limit costs
/// no more than the part that was read.
///
/// ```
/// use liveset_engine::{Filter, QueryLimits};
///
/// let limits = QueryLimits { list_items: 2, ..QueryLimits::default() };
/// assert!(Filter::parse("status in ['new', 'open', 'sent']", &limits).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLimits {
    /// Bytes of one filter, one `orderBy`, or one field of a projection. Default 16 384.
    pub expression_bytes: usize,
    /// How deep parentheses and chains of `not` may nest. Default 64; values above 128 count as 128, because an
    /// expression is checked, evaluated and dropped by recursion.
    pub nesting: usize,
    /// Items of one `[…]`. Default 1 000.
    pub list_items: usize,
    /// Keys of an `orderBy`. Default 8.
    pub order_keys: usize,
    /// Names of one path. Default 16.
    pub path_names: usize,
    /// Fields of one projection. Default 1 000.
    pub fields: usize,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits {
            expression_bytes: 16 * 1024,
            nesting: 64,
            list_items: 1_000,
            order_keys: 8,
            path_names: 16,
            fields: 1_000,
        }
    }
}

impl QueryLimits {
    /// The nesting that is enforced: what the owner asked for, but never what recursion could not bear.
    pub(crate) fn enforced_nesting(&self) -> usize {
        self.nesting.min(128)
    }
}

/// How large the JSON of a node may be. Its bytes are bounded by whoever receives them.
///
/// ```
/// use liveset_engine::{JsonLimits, json};
///
/// assert!(json::parse(b"[[[1]]]", &JsonLimits { nesting: 2 }).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonLimits {
    /// How deep lists and objects may nest; the node itself is the first level. Default 64; values above 128 count as
    /// 128, because values are compared and dropped by recursion.
    pub nesting: usize,
}

impl Default for JsonLimits {
    fn default() -> JsonLimits {
        JsonLimits { nesting: 64 }
    }
}

impl JsonLimits {
    /// The nesting that is enforced: what the owner asked for, but never what recursion could not bear.
    pub(crate) fn enforced_nesting(&self) -> usize {
        self.nesting.min(128)
    }
}

/// Every limit of the engine.
///
/// ```
/// use liveset_engine::{Engine, EngineLimits, HashSeed};
///
/// let limits = EngineLimits { max_views: 1_000, ..EngineLimits::default() };
/// let engine = Engine::new(limits, HashSeed::FIXED);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineLimits {
    /// Limits of filters, orders and projections.
    pub query: QueryLimits,
    /// Limits of the JSON of nodes.
    pub json: JsonLimits,
    /// Sets that can be defined. Default 1 000.
    pub max_sets: usize,
    /// Nodes of one set. Default 10 000 000.
    pub max_nodes_per_set: usize,
    /// Bytes of one node's JSON, as it comes in. Default 1 MiB. A row is one message: clients have to take messages of this size, and
    /// some refuse them unless they are told otherwise.
    pub max_node_bytes: usize,
    /// Bytes of a node's id, and of the names of sets and keys. Default 512.
    pub max_id_bytes: usize,
    /// Operations of one commit. Default 1 000 000.
    pub max_ops_per_commit: usize,
    /// The cap: the most nodes that a query's result holds. Default 1 000; at least 1, and so much that it cannot be
    /// numbered as the most that can.
    pub max_window: usize,
    /// Different live queries maintained at once; projections of one query count once. Default 100 000.
    pub max_views: usize,
    /// Different filters of live queries that no index can find, so that every change is tried on each: negations, `contains`,
    /// comparisons of two fields and the like. Default 8 000.
    pub max_unindexed_views: usize,
    /// Different live queries whose first result is being made in slices at once; one more that does not fit in a slice is
    /// refused. Default 1 024.
    pub max_filling: usize,
    /// Bytes that the windows of all live queries hold together, about ([`Stats::window_bytes`](crate::Stats)): a new one that might
    /// bring them over it is refused. Windows that are there grow with their sets, up to their caps, whatever this says; as long as
    /// they are over it there is no new one. Default 1 GiB.
    pub max_window_bytes: usize,
    /// Different fields of one set that live queries read at once. Default 1 024.
    pub max_columns: usize,
    /// How many nodes are looked at in one go for a query that is being made: what takes more is done in slices, between
    /// which other inputs are taken ([`Engine::begin_open`](crate::Engine::begin_open)). Default 16 384; at least 1.
    pub slice_rows: usize,
    /// Steps of work that one hold of the lock may take: a commit or a moment of time that costs more is brought to the queries in
    /// slices, between which other inputs are taken; so is all other work that was put off. Default 100 000; at least 1. A commit
    /// spends at most a quarter of it on queries that no index finds, the cheapest first, and another quarter on moments of time that
    /// are due before it: the diffs of queries that an index finds leave first.
    ///
    /// Every call of [`Engine`](crate::Engine) keeps to it, time that passes before a commit or a query included. What may come on top:
    ///
    /// - one row, which is not cut: its filter is asked up to four times, and once for its next flip, its fields are read from its text,
    ///   and it is moved in the windows that it is in;
    /// - planning a query: about five steps for each byte of its filter and its order, 128 for each test over `now` that no other query
    ///   asks, and a look at up to 48 rows, of 8,192 steps for each of three purposes at most; closing one takes as much as filing it did;
    /// - for a commit, storing it, 64 steps for each changed row, two for each field that the row is looked up by, and one for each query
    ///   that it is found by; with several shards a hold for each of them;
    /// - a result that is computed again as a whole: eight steps for each row that its window may hold;
    /// - a clock that is set back, for which all queries over time are looked at;
    /// - [`Engine::open`](crate::Engine::open) and [`OneShot::run`](crate::OneShot::run), which do all at once, and writing a
    ///   [`snapshot`](crate::Engine::snapshot).
    pub hold_steps: u64,
    /// Steps that a filter may take for the largest row of its set; a live query with a dearer one is refused, because one row is not
    /// cut into slices. Default 100 000.
    pub filter_steps: u64,
    /// Steps that a changed row of a set may cost the live queries that are kept over it, all together: those that no index finds, and
    /// those that many rows are of; what their projections compare, and 128 for each test over `now` that some of them ask. One more is
    /// refused. Default 200 000.
    pub standing_steps: u64,
    /// Row versions that a set keeps for queries that are behind it. With half of them the queries that are furthest behind are given up
    /// one after the other, in slices, and computed again as a whole; there are never more: beyond, they are given up at once. Default
    /// 200 000.
    pub max_behind_rows: usize,
    /// Bytes of these, likewise. Default 64 MiB.
    pub max_behind_bytes: usize,
    /// Parts that the live queries are spread over, so that as many threads can keep them; at most 256. Default 1; 0 counts
    /// as 1.
    pub shards: usize,
    /// For tests.
    #[cfg(any(fuzzing, test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub tuning: Tuning,
}

/// Forces the choices that the engine makes by itself, so that tests can compare what comes of each.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tuning {
    /// Every change is tried on every query.
    pub scan_only: bool,
    /// Queries are found by the alternative of this number, counted round.
    pub alternative: Option<usize>,
    /// Every query that can be a slice of an order is one.
    pub stretches: bool,
    /// No query is a slice of an order.
    pub no_stretches: bool,
    /// Each node that time flips has a timer.
    pub node_timers: bool,
    /// Views are filled row by row, also where it could be done at once.
    pub small_slices: bool,
    /// Indexes are built over however few rows, at the first wish.
    pub eager_indexes: bool,
}

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits {
            query: QueryLimits::default(),
            json: JsonLimits::default(),
            max_sets: 1_000,
            max_nodes_per_set: 10_000_000,
            max_node_bytes: 1024 * 1024,
            max_id_bytes: 512,
            max_ops_per_commit: 1_000_000,
            max_window: 1_000,
            max_views: 100_000,
            max_unindexed_views: 8_000,
            max_filling: 1_024,
            max_window_bytes: 1024 * 1024 * 1024,
            max_columns: 1_024,
            slice_rows: 16_384,
            hold_steps: 100_000,
            filter_steps: 100_000,
            standing_steps: 200_000,
            max_behind_rows: 200_000,
            max_behind_bytes: 64 * 1024 * 1024,
            shards: 1,
            #[cfg(any(fuzzing, test, feature = "fuzzing"))]
            tuning: Tuning::default(),
        }
    }
}

/// Places of rows are numbers of 32 bits.
pub(crate) const MAX_NODES: usize = u32::MAX as usize - 1;

impl EngineLimits {
    /// What tests force; nothing where there are none.
    pub(crate) fn tuning(&self) -> Tuning {
        #[cfg(any(fuzzing, test, feature = "fuzzing"))]
        return self.tuning;
        #[cfg(not(any(fuzzing, test, feature = "fuzzing")))]
        Tuning::default()
    }

    /// The steps of a hold that are enforced: no work would ever be done in none.
    pub(crate) fn enforced_hold(&self) -> u64 {
        self.hold_steps.max(1)
    }

    /// The cap that is enforced: a window of no nodes is none, and more than can be numbered are never there.
    pub(crate) fn enforced_window(&self) -> usize {
        self.max_window.clamp(1, MAX_NODES)
    }
}
