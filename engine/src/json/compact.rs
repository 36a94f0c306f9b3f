//! JSON without its insignificant white space.

use liveset_core::json::token_length;

/// Appends a JSON text to `out` without the white space between its tokens; the bytes of every token are kept.
///
/// The text is taken to be valid JSON; of anything else the white space outside of quotes is dropped just the same.
pub fn compact(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        match first {
            b' ' | b'\t' | b'\n' | b'\r' => rest = behind,
            b'"' => {
                let (token, behind) = rest.split_at(token_length(rest).unwrap_or(rest.len()));
                out.extend_from_slice(token);
                rest = behind;
            }
            _ => {
                let plain = rest.iter().position(|byte| b" \t\n\r\"".contains(byte)).unwrap_or(rest.len());
                let (token, behind) = rest.split_at(plain);
                out.extend_from_slice(token);
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_goes() {
        let cases = [
            (" { \"a b\" : [ 1 , 2.50 ] }\r\n", "{\"a b\":[1,2.50]}"),
            ("\"\\\" \\\\\" ", "\"\\\" \\\\\""),
            ("", ""),
            ("\"open \\", "\"open \\"),
            ("\t1e0 ", "1e0"),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            compact(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
