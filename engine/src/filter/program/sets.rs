//! Constants that a value may equal: sorted, each once, searched by halves.
//!
//! A text counts as an instant where the other side is one, so a text of a row is looked for among the texts by its spelling and
//! among the instants by its moment; an instant of a row among the instants and among the texts that spell one.

use std::cmp::Ordering;

use super::build;
use super::cost::PARSE;
use crate::filter::eval::Operand;
use crate::steps::blocks;
use crate::time::Timestamp;
use crate::value::Number;

/// Different texts in the order of their bytes.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Box<str>,
    /// Where each ends.
    ends: Box<[u32]>,
    /// Those that read as instants, by their numbers.
    spelled: Box<[(u32, Timestamp)]>,
}

impl Texts {
    /// Of texts in their order, each once.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Texts {
        let (mut all, mut ends, mut spelled) = (String::new(), Vec::new(), Vec::new());
        for (number, text) in (0..).zip(texts) {
            all.push_str(text);
            ends.push(all.len() as u32);
            spelled.extend(Timestamp::parse_rfc3339(text).map(|at| (number, at)));
        }
        Texts { all: all.into(), ends: ends.into(), spelled: spelled.into() }
    }

    pub(super) fn get(&self, text: u32) -> &str {
        let start = if text == 0 { 0 } else { self.ends[text as usize - 1] };
        &self.all[start as usize..self.ends[text as usize] as usize]
    }

    /// The instant that a text reads as.
    pub(super) fn instant(&self, text: u32) -> Option<Timestamp> {
        let place = self.spelled.binary_search_by_key(&text, |(text, _)| *text).ok()?;
        Some(self.spelled[place].1)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.all.len() + size_of_val(&*self.ends) + size_of_val(&*self.spelled)
    }
}

/// A constant of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Member<'a> {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(&'a str),
    Instant(Timestamp),
}

/// The sets of a program.
#[derive(Debug)]
pub(super) struct Sets {
    /// Where the members of each set begin, and one more where they end.
    all: Box<[Starts]>,
    small: Box<[i32]>,
    numbers: Box<[Number]>,
    /// Numbers of texts.
    texts: Box<[u32]>,
    instants: Box<[Timestamp]>,
    /// Of the texts of a set those that read as instants, in the order of these; as places among the texts' instants.
    spelled: Box<[u32]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Starts {
    /// Nothing, false and true, a bit each.
    plain: u8,
    small: u32,
    numbers: u32,
    texts: u32,
    instants: u32,
    spelled: u32,
}

/// Nothing, false and true have a place in every set, whether they are members or not.
const PLAIN: u32 = 3;

/// Sets while they are collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    all: Vec<Starts>,
    small: Vec<i32>,
    numbers: Vec<Number>,
    texts: Vec<u32>,
    instants: Vec<Timestamp>,
    spelled: Vec<u32>,
}

impl Collected {
    fn starts(&self) -> Starts {
        Starts {
            plain: 0,
            small: self.small.len() as u32,
            numbers: self.numbers.len() as u32,
            texts: self.texts.len() as u32,
            instants: self.instants.len() as u32,
            spelled: self.spelled.len() as u32,
        }
    }

    /// Adds a set of different members, given with the numbers of texts; returns its number.
    pub(super) fn add<'a>(
        &mut self,
        members: impl Iterator<Item = &'a build::Const>,
        text: impl Fn(&str) -> u32,
        texts: &Texts,
    ) -> u32 {
        let mut starts = self.starts();
        for member in members {
            match member {
                build::Const::Nothing => starts.plain |= 1,
                build::Const::Bool(value) => starts.plain |= if *value { 4 } else { 2 },
                build::Const::Number(number) => match small(*number) {
                    Some(small) => self.small.push(small),
                    None => self.numbers.push(*number),
                },
                build::Const::Text(text_) => self.texts.push(text(text_)),
                build::Const::Instant(at) => self.instants.push(*at),
                // No value of a row is one.
                build::Const::Span(_) | build::Const::Invalid => {}
            }
        }
        self.small[starts.small as usize..].sort_unstable();
        self.numbers[starts.numbers as usize..].sort_unstable();
        self.texts[starts.texts as usize..].sort_unstable();
        self.instants[starts.instants as usize..].sort_unstable();
        let place = |text: &u32| texts.spelled.binary_search_by_key(text, |(text, _)| *text).ok();
        let spelled = self.texts[starts.texts as usize..].iter().filter_map(place);
        self.spelled.extend(spelled.map(|place| place as u32));
        self.spelled[starts.spelled as usize..]
            .sort_unstable_by_key(|place| texts.spelled[*place as usize].1);
        self.all.push(starts);
        self.all.len() as u32 - 1
    }

    /// The place of a member in the set that was added last.
    pub(super) fn place(&self, member: &build::Const, text: impl Fn(&str) -> u32) -> Option<u32> {
        let starts = self.all.last()?;
        let small_ = &self.small[starts.small as usize..];
        let numbers = &self.numbers[starts.numbers as usize..];
        let texts = &self.texts[starts.texts as usize..];
        let instants = &self.instants[starts.instants as usize..];
        let (place, before) = match member {
            build::Const::Nothing => return Some(0),
            build::Const::Bool(value) => return Some(1 + u32::from(*value)),
            build::Const::Number(number) => match small(*number) {
                Some(small) => (small_.binary_search(&small).ok()?, 0),
                None => (numbers.binary_search(number).ok()?, small_.len()),
            },
            build::Const::Text(text_) => {
                (texts.binary_search(&text(text_)).ok()?, small_.len() + numbers.len())
            }
            build::Const::Instant(at) => {
                (instants.binary_search(at).ok()?, small_.len() + numbers.len() + texts.len())
            }
            build::Const::Span(_) | build::Const::Invalid => return None,
        };
        Some(PLAIN + (before + place) as u32)
    }

    /// How many places the set has that was added last.
    pub(super) fn places(&self) -> u32 {
        let (starts, ends) = (self.all.last().copied().unwrap_or_default(), self.starts());
        let numbers = ends.small - starts.small + ends.numbers - starts.numbers;
        PLAIN + numbers + ends.texts - starts.texts + ends.instants - starts.instants
    }

    pub(super) fn done(mut self) -> Sets {
        self.all.push(self.starts());
        Sets {
            all: self.all.into(),
            small: self.small.into(),
            numbers: self.numbers.into(),
            texts: self.texts.into(),
            instants: self.instants.into(),
            spelled: self.spelled.into(),
        }
    }
}

/// A whole number of 32 bits, whatever it is written as.
pub(super) fn small(number: Number) -> Option<i32> {
    match number {
        Number::Int(int) => i32::try_from(int).ok(),
        Number::UInt(_) => None,
        Number::Float(float) => {
            let int = float as i32;
            (f64::from(int) == float).then_some(int)
        }
    }
}

/// The members of one set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a> {
    plain: u8,
    pub(super) small: &'a [i32],
    pub(super) numbers: &'a [Number],
    pub(super) texts: &'a [u32],
    pub(super) instants: &'a [Timestamp],
    pub(super) spelled: &'a [u32],
}

impl Sets {
    pub(super) fn get(&self, set: u32) -> Set<'_> {
        let (a, b) = (&self.all[set as usize], &self.all[set as usize + 1]);
        Set {
            plain: a.plain,
            small: &self.small[a.small as usize..b.small as usize],
            numbers: &self.numbers[a.numbers as usize..b.numbers as usize],
            texts: &self.texts[a.texts as usize..b.texts as usize],
            instants: &self.instants[a.instants as usize..b.instants as usize],
            spelled: &self.spelled[a.spelled as usize..b.spelled as usize],
        }
    }

    /// How many members a set has.
    pub(super) fn len(&self, set: u32) -> usize {
        let set = self.get(set);
        set.plain.count_ones() as usize
            + set.small.len()
            + set.numbers.len()
            + set.texts.len()
            + set.instants.len()
    }

    /// The members of a set with their places, in the order of these.
    pub(super) fn members<'a>(
        &'a self,
        set: u32,
        texts: &'a Texts,
    ) -> impl Iterator<Item = (u32, Member<'a>)> {
        let set = self.get(set);
        let plain = [Member::Nothing, Member::Bool(false), Member::Bool(true)];
        let plain = plain.into_iter().enumerate().filter(move |(bit, _)| set.plain >> bit & 1 == 1);
        let small = set.small.iter().map(|int| Member::Number(Number::Int((*int).into())));
        let numbers = set.numbers.iter().map(|number| Member::Number(*number));
        let spelled = set.texts.iter().map(|text| Member::Text(texts.get(*text)));
        let instants = set.instants.iter().map(|at| Member::Instant(*at));
        let rest = small.chain(numbers).chain(spelled).chain(instants);
        plain.map(|(bit, member)| (bit as u32, member)).chain((PLAIN..).zip(rest))
    }

    /// Calls `each` with the places of the members that equal a value, until it says that this is enough: one, two where a text is
    /// also an instant, or several where an instant is spelled in several ways.
    /// `read` is the instant that the value reads as, where it is text and that is known. Adds the steps that it takes.
    pub(super) fn find(
        &self,
        set: u32,
        value: Operand<'_>,
        read: Option<Option<Timestamp>>,
        texts: &Texts,
        steps: &mut u64,
        each: &mut impl FnMut(u32) -> bool,
    ) {
        let set = self.get(set);
        let after_small = PLAIN + set.small.len() as u32;
        let after_numbers = after_small + set.numbers.len() as u32;
        let after_texts = after_numbers + set.texts.len() as u32;
        let instants = |at: Timestamp, steps: &mut u64| {
            let found = search(set.instants, steps, |other, _| other.cmp(&at)).ok();
            found.map(|place| after_texts + place)
        };
        let plain = |bit: u32| (set.plain >> bit & 1 == 1).then_some(bit);
        // Also where nothing is compared.
        *steps += 1;
        let found = match value {
            Operand::Nothing => plain(0),
            Operand::Bool(value) => plain(1 + u32::from(value)),
            Operand::Number(number) => match small(number) {
                Some(small) => {
                    let found = search(set.small, steps, |other, _| other.cmp(&small)).ok();
                    found.map(|place| PLAIN + place)
                }
                None => {
                    let found = search(set.numbers, steps, |other, _| other.cmp(&number)).ok();
                    found.map(|place| after_small + place)
                }
            },
            Operand::Text(text) => {
                let compare = |other: &u32, steps: &mut u64| {
                    let other = texts.get(*other).as_bytes();
                    *steps += blocks(other.len().min(text.len()));
                    other.cmp(text)
                };
                if let Ok(place) = search(set.texts, steps, compare)
                    && each(after_numbers + place)
                {
                    return;
                }
                if set.instants.is_empty() {
                    return;
                }
                let read = read.unwrap_or_else(|| {
                    *steps += PARSE + blocks(text.len());
                    Timestamp::parse_text(text)
                });
                read.and_then(|at| instants(at, steps))
            }
            Operand::Instant(at, _) => {
                if let Some(place) = instants(at, steps)
                    && each(place)
                {
                    return;
                }
                let moment = |place: &u32| texts.spelled[*place as usize];
                let found =
                    search(set.spelled, steps, |other, _| moment(other).1.cmp(&at).then(Ordering::Greater));
                let first = found.unwrap_or_else(|place| place) as usize;
                for place in &set.spelled[first..] {
                    *steps += 1;
                    let (text, other) = moment(place);
                    if other != at {
                        break;
                    }
                    // The texts of the set are in order, and this is one of them.
                    if let Ok(place) = search(set.texts, steps, |other, _| other.cmp(&text))
                        && each(after_numbers + place)
                    {
                        return;
                    }
                }
                return;
            }
            Operand::Duration(_) | Operand::List(_) | Operand::Object(_) | Operand::Invalid => None,
        };
        if let Some(place) = found {
            each(place);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.all)
            + size_of_val(&*self.small)
            + size_of_val(&*self.numbers)
            + size_of_val(&*self.texts)
            + size_of_val(&*self.instants)
            + size_of_val(&*self.spelled)
    }
}

/// The place of what compares equal, or where it would stand; one step for each comparison, at most
/// [`halves`](crate::steps::halves) of the length.
fn search<T>(
    among: &[T],
    steps: &mut u64,
    mut compare: impl FnMut(&T, &mut u64) -> Ordering,
) -> Result<u32, u32> {
    let (mut low, mut high) = (0, among.len());
    while low < high {
        let middle = low + (high - low) / 2;
        *steps += 1;
        match compare(&among[middle], steps) {
            Ordering::Equal => return Ok(middle as u32),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    Err(low as u32)
}
