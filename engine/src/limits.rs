//! Every number that bounds what this package accepts.

/// How large a filter, an order or a list of fields may be.
///
/// Whatever exceeds one of these is refused with an [`ExprError`](crate::ExprError) that points at the place where the limit
/// was crossed; nothing is cut short silently. All of them are counted while parsing, so that an expression over a limit costs
/// no more than the part that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryLimits {
    /// Bytes of one filter, one `orderBy`, or one field of a projection. Default 16 384.
    pub expression_bytes: usize,
    /// How deep parentheses and chains of `not` may nest. Default 64; values above 256 count as 256, because an
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
        self.nesting.min(256)
    }
}

/// How large the JSON of a node may be. Its bytes are bounded by whoever receives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonLimits {
    /// How deep lists and objects may nest; the node itself is the first level. Default 64; values above 256 count as
    /// 256, because values are compared and dropped by recursion.
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
        self.nesting.min(256)
    }
}

/// Every limit of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineLimits {
    /// Limits of filters, orders and projections.
    pub query: QueryLimits,
    /// Limits of the JSON of nodes.
    pub json: JsonLimits,
}
