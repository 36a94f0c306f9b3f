//! The page at `/`: one self-contained document, under a policy that runs nothing but its own script.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("style.css");
/// One script in pieces, each with one owner; the order is that of use.
const SCRIPT: &str = concat!(
    include_str!("connection.js"),
    include_str!("live_query.js"),
    include_str!("table.js"),
    include_str!("events.js"),
    include_str!("editor.js"),
    include_str!("main.js"),
);
/// SHA-256 of [`STYLE`] and [`SCRIPT`], in base64: a test computes them anew and says what to write here.
const STYLE_HASH: &str = "EwhvxlBSp5C8+mUhzqEMJOV8uOjz28HVoD6jngyKPGM=";
const SCRIPT_HASH: &str = "5SLUFQ5/n56LaJfM66gW+68QZs4yLQ6qcnBTr2UkuXk=";

static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("page.html").replace("/*style*/", STYLE).replace("/*script*/", SCRIPT));

static POLICY: LazyLock<String> = LazyLock::new(|| {
    // `'self'` is for `/ws`; the icon is a data URL. Everything else stays shut.
    format!(
        "default-src 'none'; script-src 'sha256-{SCRIPT_HASH}'; style-src 'sha256-{STYLE_HASH}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// Answers with the page.
pub(super) async fn show() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 in base64, as a Content-Security-Policy writes it.
    fn hash(text: &str) -> String {
        use base64::Engine as _;
        use sha2::Digest as _;
        base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text))
    }

    #[test]
    fn the_policy_lets_exactly_this_style_and_script_through() {
        assert_eq!(STYLE_HASH, hash(STYLE), "the style changed: this is to be STYLE_HASH");
        assert_eq!(SCRIPT_HASH, hash(SCRIPT), "the script changed: this is to be SCRIPT_HASH");
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn the_page_is_whole_and_needs_nothing_from_outside() {
        assert!(PAGE.contains(STYLE) && PAGE.contains(SCRIPT));
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("</script").count(), 1, "the script would end early");
        for outside in ["src=", "http://", "https://", "@import", "url("] {
            let found = PAGE.replace("http://www.w3.org/2000/svg", "").contains(outside);
            assert!(!found, "{outside} is in the page");
        }
    }

    #[test]
    fn text_goes_in_as_text() {
        for unsafe_way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
        {
            assert!(!SCRIPT.contains(unsafe_way), "{unsafe_way} is in the script");
        }
    }
}
