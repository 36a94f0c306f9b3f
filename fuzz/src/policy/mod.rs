//! Two tenants on one hub.

mod op;
mod peer;
mod rules;
mod world;

pub(crate) use op::digit;
pub use world::Tally;

/// Drives a hub with four connections by operations, a line each (see `Op`), behind a byte that chooses the
/// policy. Whatever happens, nothing that a connection is sent may hold a byte of what its principal may not see, no count
/// may tell of it (but for an answer that was on its way when the principal became another one), and what its client holds
/// is what a recomputation over its own rows gives. In the end nothing is left behind.
pub fn policy(data: &[u8]) {
    policy_tally(data);
}

/// The same; tells what was reached.
pub fn policy_tally(data: &[u8]) -> Tally {
    let (setup, lines) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let mut world = world::World::new(rules::Rules::new(digit(setup)));
    for line in lines.split(|byte| *byte == b'\n').take(120) {
        if let Some(op) = op::Op::read(line) {
            world.run(op);
        }
    }
    world.end()
}
