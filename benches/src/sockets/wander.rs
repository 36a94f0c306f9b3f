use super::Outcome;
pub(super) fn run() -> Outcome {
    Ok(())
}
