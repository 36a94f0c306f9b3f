//! The seed of the hash tables over what others choose.

use std::{fmt, hash::BuildHasher};

use siphasher::sip::SipHasher13;

/// Secret seed of the hash tables whose keys clients or writers choose: ids of rows, values, literals, fields, orders, names of
/// subjects.
///
/// Those who do not know it cannot choose keys that share one hash, by which a look-up would cost a comparison with each of them.
/// A service takes 128 random bits each time it starts, and gives them to nobody. There is no `Default`, so that nobody forgets it:
///
/// ```compile_fail,E0277
/// fn has_default<T: Default>() {}
/// has_default::<liveset_engine::HashSeed>();
/// ```
///
/// Nothing that an engine puts out depends on it, neither updates and versions nor their order, and of a hub only what stands in the
/// versions that clients are given. (The bytes that tables take, as statistics have them, can differ a little.)
///
/// Tables keyed by numbers that the engine or the hub gives out itself (handles, feeds, tickets, connections) need no seed, and
/// hash with a fixed one.
#[derive(Clone, Copy)]
pub struct HashSeed([u64; 2]);

impl HashSeed {
    /// For tests and benches: the same on every run, and known to all.
    pub const FIXED: HashSeed = HashSeed([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]);

    /// A seed of these 128 bits.
    pub const fn new(bits: [u64; 2]) -> HashSeed {
        HashSeed(bits)
    }

    /// What tables hash with.
    pub const fn keyed(self) -> Keyed {
        Keyed(self)
    }
}

/// Without the bits.
impl fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashSeed(..)")
    }
}

/// Hasher of tables whose keys others choose: SipHash-1-3 under a [`HashSeed`]. A hash takes about 20 ns, of 128 bytes about 80.
#[derive(Clone, Copy, Debug)]
pub struct Keyed(HashSeed);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    #[inline]
    fn build_hasher(&self) -> SipHasher13 {
        let HashSeed([one, two]) = self.0;
        SipHasher13::new_with_keys(one, two)
    }
}

/// Tells tests that a look-up has compared a key.
#[inline(always)]
pub(crate) fn probed() {
    #[cfg(test)]
    tests::PROBES.with(|probes| probes.set(probes.get() + 1));
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::HashSet};

    use foldhash::fast::FixedState;

    use super::*;
    use crate::{Engine, EngineLimits, Op, Query, SetDef, Timestamp};

    thread_local! {
        /// How many keys look-ups have compared so far.
        pub(super) static PROBES: Cell<u64> = const { Cell::new(0) };
    }

    const OTHER: HashSeed = HashSeed::new([7, 1 << 63]);

    /// Texts of 39 bytes. Their second eight make a lane of foldhash 0 under its fixed seed, so that the last seven do not count.
    fn flood(count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("{}\u{c}gW\u{1ce}r]q{}{number:07}", "x".repeat(8), "y".repeat(16)))
            .collect()
    }

    #[test]
    fn chosen_texts_do_not_share_a_hash() {
        let texts = flood(20_000);
        let fixed: HashSet<u64> = texts.iter().map(|text| FixedState::default().hash_one(text)).collect();
        assert_eq!(fixed.len(), 1, "these are the texts that a fixed seed has trouble with");
        for seed in [HashSeed::FIXED, OTHER] {
            let hashes: Vec<u64> = texts.iter().map(|text| seed.keyed().hash_one(text)).collect();
            assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), texts.len());
            // Tables look at the low bits, ids are known by the high ones: 20,000 in 32,768 places, about 0.6 in each.
            for place in [|hash: u64| hash % 32_768, |hash: u64| hash >> 49] {
                let mut filled = vec![0; 32_768];
                hashes.iter().for_each(|hash| filled[place(*hash) as usize] += 1);
                assert!(filled.iter().max() <= Some(&10));
            }
        }
        let hash = |seed: HashSeed| seed.keyed().hash_one(&texts[0]);
        assert_ne!(hash(HashSeed::FIXED), hash(OTHER));
    }

    /// 52 queries for 385 texts each, 20,000 nodes that have the texts as ids and as values, and all of them taken back.
    #[test]
    fn chosen_texts_cost_no_more_comparisons_than_others() {
        let texts = flood(20_000);
        let now = Timestamp::MIN;
        for seed in [HashSeed::FIXED, OTHER] {
            let mut engine = Engine::new(EngineLimits::default(), seed);
            engine.define_set(SetDef::new("orders")).expect("a set");
            PROBES.set(0);
            let feeds: Vec<_> = texts
                .chunks(385)
                .map(|texts| {
                    let filter = format!("c in ['{}']", texts.join("','"));
                    let plan = engine.prepare(&Query::new("orders").filter(filter)).expect("a query");
                    engine.open(now, &plan).expect("room for a view").0
                })
                .collect();
            let upsert = |text: &String| {
                let text = text.replace('\u{c}', "\\f");
                let node = format!(r#"{{"id":"{text}","c":"{text}","items":["{text}"]}}"#);
                Op::Upsert { set: "orders".into(), node: node.into() }
            };
            engine.commit(now, texts.iter().map(upsert).collect()).expect("good nodes");
            let mut updates = 0;
            while engine.poll_update().is_some() {
                updates += 1;
            }
            assert_eq!(updates, feeds.len(), "every query has found its nodes");
            feeds.into_iter().for_each(|feed| engine.close(feed));
            let remove = |id: &String| Op::Remove { set: "orders".into(), id: id.clone() };
            engine.commit(now, texts.iter().map(remove).collect()).expect("a commit");
            // A literal is filed and taken out with four look-ups, a node with four: about as many comparisons, not the square.
            let probes = PROBES.get();
            assert!((40_000..400_000).contains(&probes), "{probes} comparisons");
        }
    }
}
