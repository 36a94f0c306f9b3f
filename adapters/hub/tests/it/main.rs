//! Permissions, budgets, resuming and turns, one behaviour a file; and a simulator with an oracle that shares no code with the
//! engine.

mod budgets;
mod commit_order;
mod dear_input;
mod endings;
mod engine_limits;
mod events;
mod fan_out;
mod initial_rows;
mod language;
mod parsed;
mod permissions;
mod rechecks;
mod restrictions;
mod resume_accounts;
mod resuming;
mod sharing;
mod simulator;
mod slow_readers;
mod subjects;
mod support;
mod turns;
mod waiting;
mod watches;
