//! Sets as hosts name them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::json::{IntoJson, Json};

/// A set that is known to be there, and whose rows are `T`s; made by [`Liveset::set`](crate::Liveset::set). It goes where a set's name
/// goes. Cloning shares the name.
///
/// ```
/// use liveset::{Liveset, Query, Set, SetDef};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order {
///     id: u64,
///     total: f64,
/// }
///
/// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
/// let orders: Set<Order> = liveset.set("orders")?;
/// assert!(liveset.set::<Order>("order").is_err());
///
/// liveset.commit(|tx| tx.upsert(&orders, &Order { id: 1, total: 12.5 }))?;
/// let large: Vec<Order> = liveset.query(Query::new(&orders).filter("total > 10"))?.parse()?;
/// assert_eq!(large[0].id, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Set<T> {
    name: Arc<str>,
    rows: PhantomData<fn(T) -> T>,
}

impl<T> Set<T> {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), rows: PhantomData }
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Clone for Set<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), rows: PhantomData }
    }
}

impl<T> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Set").field(&self.name).finish()
    }
}

impl<T> From<&Set<T>> for Arc<str> {
    fn from(set: &Set<T>) -> Self {
        set.name.clone()
    }
}

impl<T> From<&Set<T>> for String {
    fn from(set: &Set<T>) -> Self {
        set.name().to_owned()
    }
}

/// Where a row of the type `R` may be put: the name of a set, or a [`Set`] of such rows.
pub trait Target<R> {
    /// The set's name.
    fn into_name(self) -> Arc<str>;
}

impl<R: IntoJson> Target<R> for &str {
    fn into_name(self) -> Arc<str> {
        self.into()
    }
}

impl<R: IntoJson> Target<R> for String {
    fn into_name(self) -> Arc<str> {
        self.into()
    }
}

impl<R: IntoJson> Target<R> for Arc<str> {
    fn into_name(self) -> Arc<str> {
        self
    }
}

impl<T: Serialize> Target<&T> for &Set<T> {
    fn into_name(self) -> Arc<str> {
        self.into()
    }
}

impl<T> Target<Json> for &Set<T> {
    fn into_name(self) -> Arc<str> {
        self.into()
    }
}

/// There is no set of that name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no set '{name}'; the sets are: {known}")]
pub struct UnknownSet {
    pub(crate) name: String,
    pub(crate) known: String,
}
