//! Diffs past the session: written once for everyone who is abreast of a feed, and copied.

use std::sync::Arc;

use compact_str::CompactString;
use liveset_core::{Batch, DiffVersions, Diffs, LiveQueryOptions};

/// A live query whose diffs are alike for many: the session has nothing to add to them once the client has everything before.
#[derive(Debug)]
pub(crate) struct Direct {
    /// The id as it stands in messages; most fit in here.
    pub(crate) id: CompactString,
    form: Form,
    /// There while the client has been told everything: with `resume`, the version that it was told last. `None` while its session
    /// has, or may have, something to send.
    pub(crate) told: Option<u64>,
}

/// What of a diff differs by the options of a live query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    reasons: bool,
    resume: bool,
}

impl Direct {
    /// Stands for a version that is not known here: one of another result.
    pub(crate) const UNKNOWN: u64 = u64::MAX;

    /// `None` for options that need to know what this one client has: its window for `positions`, its count for `counts`.
    pub(crate) fn new(id: &str, options: LiveQueryOptions) -> Option<Self> {
        let LiveQueryOptions { positions, counts, reasons, resume, status: _, hints: _ } = options;
        let form = Form { reasons, resume };
        (!positions && !counts).then(|| Self { id: Diffs::id_text(id).into(), form, told: None })
    }

    /// Whether the client has everything up to the batch that follows `before`. With `resume` the messages of a commit but the
    /// last carry the version that the client knows already, which is alike only for those who were told the same.
    pub(crate) fn is_abreast(&self, before: u64) -> bool {
        self.told.is_some_and(|told| !self.form.resume || told == before)
    }

    /// Whether its stream must hear of what went past it.
    pub(crate) fn has_versions(&self) -> bool {
        self.form.resume
    }
}

/// The messages of one batch, in each form in which somebody wants them.
pub(crate) struct Forms<'a> {
    batch: Arc<Batch>,
    versions: DiffVersions<'a>,
    written: [Option<Diffs>; 4],
}

impl<'a> Forms<'a> {
    pub(crate) fn new(batch: Arc<Batch>, versions: DiffVersions<'a>) -> Self {
        Self { batch, versions, written: [const { None }; 4] }
    }

    pub(crate) fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The messages as this live query wants them; written at the first time.
    pub(crate) fn of(&mut self, direct: &Direct) -> &Diffs {
        let Form { reasons, resume } = direct.form;
        let slot = &mut self.written[usize::from(reasons) + 2 * usize::from(resume)];
        slot.get_or_insert_with(|| Diffs::new(&self.batch, reasons, resume.then_some(self.versions)))
    }
}
