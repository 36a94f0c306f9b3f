//! How many requests each subject sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rate::Bucket;

/// So many subjects are remembered.
const MAX_SUBJECTS: usize = 16_384;

/// A bucket of tokens for each subject that was here lately.
#[derive(Debug)]
pub(super) struct Rates {
    per_second: u32,
    burst: u32,
    buckets: Mutex<HashMap<Arc<str>, Bucket>>,
}

impl Rates {
    pub(super) fn new(per_second: u32, burst: u32) -> Rates {
        Rates { per_second, burst, buckets: Mutex::default() }
    }

    /// Takes a token of this subject.
    ///
    /// # Errors
    ///
    /// There is none: how long until there is.
    pub(super) fn take(&self, subject: &Arc<str>, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(subject) {
            return bucket.take(now).then_some(()).ok_or_else(|| bucket.wait());
        }
        if buckets.len() >= MAX_SUBJECTS {
            // Who has a full one loses nothing. Where those are few, all begin anew, so that this is seldom.
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() > MAX_SUBJECTS / 2 {
                buckets.clear();
            }
        }
        let bucket = buckets
            .entry(Arc::clone(subject))
            .or_insert_with(|| Bucket::full(self.per_second, self.burst, now));
        bucket.take(now).then_some(()).ok_or_else(|| bucket.wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_has_its_own() {
        let start = Instant::now();
        let rates = Rates::new(1, 2);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!([&a, &a, &a, &b].map(|who| rates.take(who, start).is_ok()), [true, true, false, true]);
        assert_eq!(rates.take(&a, start), Err(Duration::from_secs(1)));
        assert_eq!(rates.take(&a, start + Duration::from_secs(1)), Ok(()));
        assert!(Rates::new(1, 0).take(&a, start).is_err());
    }

    #[test]
    fn no_more_subjects_are_remembered_than_may_be() {
        let start = Instant::now();
        let rates = Rates::new(1, 2);
        let len = || rates.buckets.lock().unwrap().len();
        for n in 0..3 * MAX_SUBJECTS {
            rates.take(&n.to_string().into(), start).unwrap();
            assert!(len() <= MAX_SUBJECTS);
        }
        // Those that are full again go first.
        let later = start + Duration::from_secs(10);
        let busy: Arc<str> = "busy".into();
        while rates.take(&busy, later).is_ok() {}
        for n in 0..MAX_SUBJECTS {
            rates.take(&format!("later {n}").into(), later + Duration::from_millis(1)).unwrap();
            if len() < MAX_SUBJECTS / 2 && n > 0 {
                break;
            }
        }
        assert!(
            rates.take(&busy, later + Duration::from_millis(2)).is_err(),
            "who is over the limit is not forgotten"
        );
    }
}
