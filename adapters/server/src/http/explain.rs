//! `POST /explain`: how a query is kept, for whoever sees all of the set.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use liveset::Cost;
use serde::Serialize;

use super::auth::Caller;
use super::{ApiError, App, error, query};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    access: &'a str,
    probes: &'a [String],
    has_residue: bool,
    sharing: usize,
    is_open: bool,
    candidates: usize,
    #[serde(rename = "isSlice")]
    is_stretch: bool,
    has_order_index: bool,
    cost: Steps,
    flip_cost: Steps,
    filter_bytes: usize,
    order_cost: Steps,
    projection_cost: Steps,
    hints: Vec<Hint<'a>>,
    /// All of it in a few lines for people.
    text: String,
}

/// What is probably a mistake.
#[derive(Serialize)]
struct Hint<'a> {
    text: &'a str,
    line: u64,
    column: u64,
}

/// What a node costs at most: so many steps, and so many for each 16 bytes of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Steps {
    fixed: u64,
    per_block: u64,
}

impl From<Cost> for Steps {
    fn from(cost: Cost) -> Self {
        Self { fixed: cost.fixed, per_block: cost.per_block }
    }
}

pub(super) async fn run(State(app): State<App>, caller: Caller, body: Body) -> Result<Response, ApiError> {
    let query = query::read(&app, body).await?;
    let caller = caller.still(&app).await?;
    let explained =
        app.liveset.as_principal(&caller.who).explain(&query).map_err(|error| query::refused(&error))?;
    let answer = Answer {
        access: &explained.access,
        probes: &explained.probes,
        has_residue: explained.has_residue,
        sharing: explained.sharing,
        is_open: explained.is_open,
        candidates: explained.candidates,
        is_stretch: explained.is_stretch,
        has_order_index: explained.has_order_index,
        cost: explained.cost.into(),
        flip_cost: explained.flip_cost.into(),
        filter_bytes: explained.filter_bytes,
        order_cost: explained.order_cost.into(),
        projection_cost: explained.projection_cost.into(),
        hints: explained
            .hints
            .iter()
            .map(|hint| Hint { text: &hint.text, line: hint.line, column: hint.column })
            .collect(),
        text: explained.to_string(),
    };
    let answer = serde_json::to_vec(&answer).map_err(|_| ApiError::internal())?;
    Ok(error::json(StatusCode::OK, answer))
}
