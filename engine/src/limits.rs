//! Every number that bounds what this package accepts.

liveset_core::model::limits! {
    /// Limits of a filter, an order and a list of fields.
    ///
    /// Whatever exceeds one of these is refused with an [`ExprError`](crate::ExprError) that points at the place where the limit
    /// was crossed; nothing is cut short silently. All of them are counted while parsing, so that an expression over a limit costs
    /// no more than the part that was read.
    ///
    /// ```
    /// use liveset_engine::{Filter, QueryLimits};
    ///
    /// let limits = QueryLimits::default().list_items(2);
    /// assert!(Filter::parse("status in ['new', 'open', 'sent']", &limits).is_err());
    /// ```
    pub struct QueryLimits in "query" {
        expression_bytes: usize = 16 * 1024,
            "a filter, an order, or a field of a projection" => "`INVALID_QUERY`";
        /// The depth to which parentheses and chains of `not` may nest. Values above 128 count as 128,
        /// because an expression is checked, evaluated and dropped by recursion.
        nesting: usize = 64,
            "parentheses and `not` in each other; at most 128" => "`INVALID_QUERY`";
        list_items: usize = 1_000,
            "items of an array literal" => "`INVALID_QUERY`";
        params: usize = 64,
            "parameters of a query; their values, as often as they are used, take at most the bytes of an expression" => "`INVALID_QUERY`";
        order_keys: usize = 8,
            "keys of an order" => "`INVALID_QUERY`";
        path_names: usize = 16,
            "names of a path" => "`INVALID_QUERY`";
        fields: usize = 1_000,
            "fields of a projection" => "`INVALID_QUERY`";
    }
}

impl QueryLimits {
    /// The nesting that is enforced: what the owner asked for, but never what recursion could not bear.
    pub(crate) fn enforced_nesting(&self) -> usize {
        self.nesting.min(128)
    }
}

liveset_core::model::limits! {
    /// The limit on the depth of a node's JSON. Its bytes are bounded where it is received.
    ///
    /// ```
    /// use liveset_engine::{JsonLimits, json};
    ///
    /// assert!(json::parse(b"[[[1]]]", &JsonLimits::default().nesting(2)).is_err());
    /// ```
    pub struct JsonLimits in "json" {
        /// The depth to which lists and objects may nest; the node itself is the first level. Values above
        /// 128 count as 128, because values are compared and dropped by recursion.
        nesting: usize = 64,
            "arrays and objects in each other; at most 128" => "the commit is refused, 422; the event 400";
    }
}

impl JsonLimits {
    /// The nesting that is enforced: what the owner asked for, but never what recursion could not bear.
    pub(crate) fn enforced_nesting(&self) -> usize {
        self.nesting.min(128)
    }
}

liveset_core::model::limits! {
    /// Every limit of the engine.
    ///
    /// ```
    /// use liveset_engine::{Engine, EngineLimits, HashSeed};
    ///
    /// let limits = EngineLimits::default().max_views(1_000);
    /// let engine = Engine::new(limits, HashSeed::FIXED);
    /// ```
    pub struct EngineLimits in "engine" {
        max_sets: usize = 1_000,
            "sets" => "`build` fails";
        max_nodes_per_set: usize = 10_000_000,
            "rows of one set" => "the commit is refused, 422";
        /// Bytes of one node's JSON, as it comes in. A row is one message: clients have to take messages of
        /// this size, and some refuse them unless they are told otherwise.
        max_node_bytes: usize = 1024 * 1024,
            "the JSON of a row; a row is one message, which some clients refuse at this size: `websockets` for Python, `coder/websocket` for Go and Tomcat for Java each need a setting" => "the commit is refused, 422";
        max_id_bytes: usize = 512,
            "the id of a row; names of sets and keys" => "the commit is refused, 422";
        max_ops_per_commit: usize = 1_000_000,
            "operations of one commit" => "the commit is refused, 422";
        /// Steps that the patches and conditions of one commit take. A commit is not cut: it takes them in one hold of the lock.
        max_commit_steps: u64 = 20_000_000,
            "steps of work for the patches and conditions of one commit; reading 16 bytes of a row or a patch is one" => "the commit is refused, 422";
        max_window: usize = 1_000, One,
            "rows of a result: the cap" => "`capped`; a larger `limit` is the cap";
        max_views: usize = 100_000,
            "different live queries" => "`LIMIT_EXCEEDED` with the `id`";
        /// Different filters of live queries that no index can find, so that every change is tried on each:
        /// negations, `contains`, comparisons of two fields and the like.
        max_unindexed_views: usize = 8_000,
            "of these, those that every change is tried on" => "`LIMIT_EXCEEDED` with the `id`";
        max_filling: usize = 1_024,
            "of these, those whose first result is being made in slices" => "`OVERLOADED` with the `id`";
        /// Bytes that the windows of all live queries hold together, about
        /// ([`Stats::window_bytes`](crate::Stats)): a new one that might bring them over it is refused.
        /// Windows that are there grow with their sets, up to their caps, whatever this says; as long as they
        /// are over it there is no new one.
        max_window_bytes: usize = 1024 * 1024 * 1024,
            "memory of all windows: about 32 bytes for each row of a result and of its reserve" => "`OVERLOADED` with the `id` for new ones. Existing windows grow up to their caps";
        max_columns: usize = 1_024,
            "different fields of one set that live queries read, with those of a query that is asked once" => "`LIMIT_EXCEEDED` with the `id`; over HTTP 422";
        /// Nodes that are looked at in one go for a query that is being made: what takes more is done in
        /// slices, between which other inputs are taken ([`Engine::begin_open`](crate::Engine::begin_open)).
        /// At least 1.
        slice_rows: usize = 16_384, One,
            "rows looked at in one go for a new live query" => "the next slice";
        /// A commit or a moment of time that costs more is brought to the queries in slices, between which other
        /// inputs are taken; so is all other work that was put off.
        ///
        /// A commit spends at most a quarter of it on moments of time that are due before it. By itself it takes 16 steps for each
        /// row, and one for 16 bytes of it. Half as many, 256 at least, it spends on the queries that no index finds, and on
        /// those that may cost more than 256 steps for each row that an index finds them by: the cheapest first, of which the
        /// last one may take up to a quarter of a hold. The rest is left in one step, and has its turn when the diffs of the
        /// others have left ([`leaving_scans`](crate::Engine::leaving_scans)). An engine that leaves nothing spends as much
        /// as the commit takes by itself, 2,000 at least, and a step to put a query off.
        ///
        /// Every call of [`Engine`](crate::Engine) keeps to it, time that passes before a commit or a query
        /// included. What may come on top:
        ///
        /// - one row, which is not cut: its filter is asked up to four times, and once for its next flip, its
        ///   fields are read from its text, and it is moved in the windows that it is in;
        /// - planning a query: about five steps for each byte of its filter and its order, 128 for each test
        ///   over `now` that no other query asks, and a look at up to 48 rows, of 8,192 steps for each of three
        ///   purposes at most; closing one takes as much as filing it did;
        /// - what a commit has left, before another input: 2,000 steps, of which the last query may take a quarter of a hold, and a step
        ///   to put each of the others off;
        /// - for a commit, storing it, 64 steps for each changed row, two for each field that the row is looked
        ///   up by, and one for each query that it is found by; with several shards a hold for each of them;
        /// - a result that is computed again as a whole: eight steps for each row that its window may hold;
        /// - a clock that is set back, for which all queries over time are looked at;
        /// - [`Engine::open`](crate::Engine::open) and [`OneShot::run`](crate::OneShot::run), which do all at
        ///   once, and writing a [`snapshot`](crate::Engine::snapshot).
        hold_steps: u64 = 100_000, One,
            "steps of work in one hold of the lock; a step is at most one comparison of two values or 16 bytes of JSON read" => "slices: a commit or a moment of `now` that costs more reaches the queries that it costs most a little later";
        /// Steps that a filter may take for the largest row of its set; a live query with a dearer one is
        /// refused, because one row is not cut into slices.
        filter_steps: u64 = 100_000,
            "steps of a filter for the largest row of its set" => "`LIMIT_EXCEEDED` with the `id`";
        /// Steps that a changed row of a set may cost the live queries that are kept over it, all together:
        /// those that no index finds, and those that many rows are of; what their projections compare, and
        /// 128 for each test over `now` that some of them ask. One more is refused.
        standing_steps: u64 = 200_000,
            "steps that one changed row of a set costs the live queries over it, about; their projections count too, and 128 for each test over `now`" => "`OVERLOADED` with the `id` for new ones";
        /// Row versions that a set keeps for queries that are behind it. With half of them the queries that
        /// are furthest behind are given up one after the other, in slices, and computed again as a whole;
        /// there are never more: beyond, they are given up at once.
        max_behind_rows: usize = 200_000,
            "row versions that a set keeps for queries that are behind it" => "those that are furthest behind are computed again as a whole";
        max_behind_bytes: usize = 64 * 1024 * 1024,
            "bytes of these" => "those that are furthest behind are computed again as a whole";
        shards: usize = 1, One,
            "parts that the live queries are spread over; at most 256" => "";
    }
    with {
        /// Limits of filters, orders and projections.
        pub query: QueryLimits,
        /// Limits of the JSON of nodes.
        pub json: JsonLimits,
        /// Choices that tests force.
        pub(crate) tuning: Tuning,
    }
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

/// Places of rows are numbers of 32 bits.
pub(crate) const MAX_NODES: usize = u32::MAX as usize - 1;

impl EngineLimits {
    /// For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
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
