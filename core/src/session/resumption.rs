//! What makes what a client has into a result.

use std::sync::Arc;

use crate::model::{Batch, Change, Etag, Snapshot};

/// What makes what the client of a live query has into its result; see [`Session::resume_and_tell`](super::Session::resume_and_tell).
#[derive(Debug, Clone)]
pub struct Resumption<'a> {
    /// The changes, of the version of the result.
    pub batch: Arc<Batch>,
    /// The result after them. Its rows are looked at only where the client asked for `positions`.
    pub window: &'a Snapshot,
    /// Where the client is resumed by the rows that it has, and not by a version: the places in their list of those that it is to drop
    /// first, in ascending order.
    pub drop: Option<Vec<u64>>,
}

impl<'a> Resumption<'a> {
    /// Of a client that has rows with these etags, whichever they are; `None` where fewer than half of the result's rows are among
    /// them, so that the whole result costs less. With `positions` the rows that stay are in the order of the result, as many as can be.
    /// O(n log n) in the rows.
    pub fn of_rows(have: &[Etag], window: &'a Snapshot, positions: bool) -> Option<Resumption<'a>> {
        let mut places = Places { have, next: 0, sorted: Vec::new() };
        let mut kept: Vec<_> = window.rows.iter().map(|row| places.find(row.etag())).collect();
        if positions {
            keep_ascending(&mut kept);
        }
        let mut stays = vec![false; have.len()];
        kept.iter().flatten().for_each(|place| stays[*place] = true);
        if stays.iter().filter(|stays| **stays).count() * 2 < window.rows.len() {
            return None;
        }
        let drop = (0..).zip(&stays).filter(|(_, stays)| !**stays).map(|(place, _)| place).collect();
        let lacks = window.rows.iter().zip(kept).filter(|(_, place)| place.is_none());
        let changes = lacks.map(|(row, _)| Change::Added { row: row.clone(), reason: None }).collect();
        let batch = Batch { version: window.version, count: Some(window.count), changes };
        Some(Resumption { batch: Arc::new(batch), window, drop: Some(drop) })
    }
}

/// Where etags stand in the list of a client.
struct Places<'a> {
    have: &'a [Etag],
    /// Behind the one that was found last. Most clients have what there is, in its order.
    next: usize,
    /// All, once one did not stand there. Ordered, not hashed: clients choose what they send.
    sorted: Vec<(Etag, usize)>,
}

impl Places<'_> {
    /// Of two places with one etag, the first or the next.
    fn find(&mut self, etag: Etag) -> Option<usize> {
        if self.have.get(self.next) != Some(&etag) {
            if self.sorted.is_empty() {
                self.sorted = self.have.iter().copied().zip(0..).collect();
                self.sorted.sort_unstable();
            }
            let place = self.sorted.partition_point(|(other, _)| *other < etag);
            self.next = self.sorted.get(place).filter(|(other, _)| *other == etag)?.1;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Keeps the most places that are in ascending order: a longest increasing subsequence.
fn keep_ascending(places: &mut [Option<usize>]) {
    // For each length, the index at which the sequence of that length ends that ends with the smallest place; and for each index, the one
    // before it in its sequence.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; places.len()];
    for (index, place) in places.iter().enumerate().filter(|(_, place)| place.is_some()) {
        let length = ends.partition_point(|end| places[*end] < *place);
        before[index] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut stays = vec![false; places.len()];
    let mut next = ends.last().copied();
    while let Some(index) = next {
        stays[index] = true;
        next = before[index];
    }
    for (place, stays) in places.iter_mut().zip(stays) {
        *place = place.filter(|_| stays);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Count, Row};

    /// How long the longest ascending subsequence is, by trying all.
    fn longest(places: &[Option<usize>]) -> usize {
        let subsets = 0_u32..1 << places.len();
        let of = |bits: u32| -> Vec<usize> {
            places
                .iter()
                .enumerate()
                .filter(|(at, _)| bits >> at & 1 == 1)
                .filter_map(|(_, place)| *place)
                .collect()
        };
        subsets.map(of).filter(|it| it.is_sorted()).map(|it| it.len()).max().unwrap_or_default()
    }

    #[test]
    fn the_most_places_stay_that_ascend() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let mut order: Vec<usize> = (0..8).collect();
            random.shuffle(&mut order);
            let mut places: Vec<_> = order.into_iter().map(|place| random.bool().then_some(place)).collect();
            let most = longest(&places);
            keep_ascending(&mut places);
            let kept: Vec<usize> = places.into_iter().flatten().collect();
            assert!(kept.is_sorted() && kept.len() == most, "{kept:?} of {most}");
        }
    }

    #[test]
    fn fewer_than_half_of_the_rows_are_useless() {
        let row = |id: &str| Row::new(id, format!("{{\"id\":\"{id}\"}}"), id.to_owned());
        for (rows, had, is_of_use) in [
            (0, 0, true),
            (1, 0, false),
            (1, 1, true),
            (2, 1, true),
            (3, 1, false),
            (3, 2, true),
            (4, 2, true),
        ] {
            let rows: Vec<Row> = (0..rows).map(|n| row(&n.to_string())).collect();
            let mut have: Vec<Etag> = rows.iter().take(had).map(Row::etag).collect();
            // What the result does not have is no matter, nor what stands there twice.
            have.extend(["x", "y", "z"].map(|id| row(id).etag()));
            have.extend(have.first().copied());
            let window = Snapshot { version: 7, count: Count::new(rows.len() as u64, 9), rows };
            let resumption = Resumption::of_rows(&have, &window, true);
            assert_eq!(resumption.is_some(), is_of_use, "{had} of {}", window.rows.len());
            let Some(Resumption { batch, drop: Some(drop), .. }) = resumption else { continue };
            assert_eq!(batch.changes.len(), window.rows.len() - had);
            assert!(drop.into_iter().eq(had as u64..have.len() as u64));
        }
    }
}
