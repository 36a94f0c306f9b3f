//! "Did you mean …?": the known word nearest to an unknown one.

/// Longer words are not compared: nobody mistypes them by two letters, and the cost is the product of the lengths.
const LONGEST: usize = 64;

/// The known word that `word` most likely means, or `None` where none is near.
///
/// Near is: the same but for upper and lower case; one edit away (two where the word has five letters or more), an edit being a
/// letter missing, added, changed or swapped with its neighbour; or one the beginning of the other, from three letters on. The
/// nearest wins, and of equally near ones the first. Costs the product of the lengths for each known word.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let allowed = if word.len() >= 5 { 2 } else { 1 };
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
        if letters.len() > LONGEST {
            continue;
        }
        let mut distance = edits(&word, &letters);
        // A word of one or two letters is one edit away from half of all short words.
        let short = letters.len().min(word.len()) < 3;
        if distance > allowed || (short && distance > 0 && letters.len() != word.len() + 1) {
            let begins = !short && (word.starts_with(&letters) || letters.starts_with(&word));
            if !begins {
                continue;
            }
            distance = allowed + 1;
        }
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// [`nearest`] as the end of a message: ` (did you mean 'orders'?)`, or nothing.
pub fn hint<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(word, known).map(|word| format!(" (did you mean '{word}'?)")).unwrap_or_default()
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let known = ["and", "or", "in", "anyof", "allof", "startswith", "contains", "minutes"];
        let cases = [
            ("anyoff", Some("anyof")),
            ("ANYOF", Some("anyof")),
            ("startsWith", Some("startswith")),
            ("strtswith", Some("startswith")),
            ("nad", Some("and")),
            ("adn", Some("and")),
            ("min", Some("minutes")),
            ("contain", Some("contains")),
            ("i", Some("in")),
            ("x", None),
            ("xy", None),
            ("elephant", None),
            ("", None),
        ];
        for (word, near) in cases {
            assert_eq!(nearest(word, known), near, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(10_000), known), None);
        assert_eq!(hint("anyoff", known), " (did you mean 'anyof'?)");
        assert_eq!(hint("elephant", known), "");
    }
}
