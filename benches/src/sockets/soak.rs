use super::{Defaults, Options, Outcome};
pub(super) const OPTIONS: Defaults = &[];
pub(super) fn run(_: &Options) -> Outcome {
    Ok(())
}
