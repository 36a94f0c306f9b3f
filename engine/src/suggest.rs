//! "Did you mean …?": the known word nearest to an unknown one.

/// Longer words are not compared: nobody mistypes them by two letters, and the cost is the product of the lengths.
const LONGEST: usize = 64;

/// The known word that `word` most likely means, or `None` where none is near.
///
/// Near is: the same but for upper and lower case; one edit away (two where the word has five letters or more), an edit being a
/// letter missing, added, changed or swapped with its neighbour; or one the beginning of the other, from three letters on. The
/// nearest wins, and of equally near ones the first. Costs the product of the lengths for each known word.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (word, length) = lowered(word);
    if length == 0 || length > LONGEST {
        return None;
    }
    let allowed = if length >= 5 { 2 } else { 1 };
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let (letters, count) = lowered(candidate);
        if count > LONGEST {
            continue;
        }
        let mut distance = strsim::osa_distance(&word, &letters);
        // A word of one or two letters is one edit away from half of all short words.
        let short = count.min(length) < 3;
        if distance > allowed || (short && distance > 0 && count != length + 1) {
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

/// The word in lower case, cut to one letter more than is compared, and its letters.
fn lowered(word: &str) -> (String, usize) {
    let lowered: String = word.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
    let letters = lowered.chars().count();
    (lowered, letters)
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
