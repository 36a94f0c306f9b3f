//! How many requests each subject sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use liveset_core::{Monotonic, Rate, TokenBucket};

/// So many subjects are remembered.
const MAX_SUBJECTS: usize = 16_384;

/// A bucket of tokens for each subject that was here lately.
#[derive(Debug)]
pub(super) struct Rates {
    rate: Rate,
    buckets: Mutex<HashMap<Arc<str>, TokenBucket>>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Rates {
        Rates { rate, buckets: Mutex::default() }
    }

    /// Takes a token of this subject.
    ///
    /// # Errors
    ///
    /// There is none: how long until there is.
    pub(super) fn take(&self, subject: &Arc<str>, now: Monotonic) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(subject) && buckets.len() >= MAX_SUBJECTS {
            // Who has a full one loses nothing. Where those are few, all begin anew, so that this is seldom.
            buckets.retain(|_, bucket| bucket.full_at(self.rate) > now);
            if buckets.len() > MAX_SUBJECTS / 2 {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(Arc::clone(subject)).or_insert_with(|| TokenBucket::full(self.rate, now));
        bucket.take(self.rate, now).then_some(()).ok_or_else(|| bucket.wait_for_token(self.rate, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 1, burst: 2 };

    #[test]
    fn each_subject_has_its_own() {
        let start = Monotonic::ZERO;
        let rates = Rates::new(RATE);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!([&a, &a, &a, &b].map(|who| rates.take(who, start).is_ok()), [true, true, false, true]);
        assert_eq!(rates.take(&a, start), Err(Duration::from_secs(1)));
        assert_eq!(rates.take(&a, start + Duration::from_secs(1)), Ok(()));
        assert!(Rates::new(Rate { burst: 0, ..RATE }).take(&a, start).is_err());
    }

    #[test]
    fn no_more_subjects_are_remembered_than_may_be() {
        let start = Monotonic::ZERO;
        let rates = Rates::new(RATE);
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
