//! Operations of the oracle as the engine takes them.

use liveset_engine::{Condition, Op};

use crate::oracle;

/// An operation as the engine takes it.
pub fn engine_op(op: &oracle::Op) -> Op {
    match op {
        oracle::Op::Upsert { set, node } => {
            Op::Upsert { set: set.as_str().into(), node: node.clone().into() }
        }
        oracle::Op::Remove { set, id } => Op::Remove { set: set.as_str().into(), id: id.clone() },
        oracle::Op::Patch { set, id, patch, upsert } => Op::Patch {
            set: set.as_str().into(),
            id: id.clone(),
            patch: patch.clone().into(),
            upsert: *upsert,
        },
        oracle::Op::Clear { set } => Op::Clear { set: set.as_str().into() },
        oracle::Op::If { filter, op } => {
            let condition = match filter {
                Some(filter) => Condition::filter(oracle::print_expr(filter, &mut |_| 0)),
                None => Condition::nothing(),
            };
            Op::If { condition, op: Box::new(engine_op(op)) }
        }
    }
}
