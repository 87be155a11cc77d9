//! Syntax of object references and queries that become part of a request.
//!
//! Each kind of text has a regular expression for the CRD schema, and a parser. The validation and
//! the code that sends the request use the parser. A test compares the regular expression with the
//! parser.
//!
//! A reference becomes a segment of a URL path that the operator requests with the token of the
//! operator. A query becomes a part of a larger query. A reference must contain no slash, percent
//! sign, question mark, control character or dot segment. A query must contain no comment and no
//! control character that could end a comment.
//!
//! The names follow <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

/// Pattern of `apiVersion`: an optional group (a DNS subdomain) and a version such as `v1` or
/// `v1beta2`.
pub const API_VERSION: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?v[0-9]+((alpha|beta)[0-9]+)?$";

/// Pattern of `kind`: letters and digits in `CamelCase`, at most 63 characters.
pub const KIND: &str = r"^[A-Z][A-Za-z0-9]{0,62}$";

/// Pattern of an object name: a DNS subdomain (RFC 1123), at most 253 characters.
pub const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Pattern of a `ConfigMap` key: letters, digits, dashes, dots and underscores, except `.` and a
/// key that begins with `..`.
pub const KEY: &str = r"^([-_a-zA-Z0-9][-._a-zA-Z0-9]*|\.[-_a-zA-Z0-9][-._a-zA-Z0-9]*)$";

/// Pattern of a `PromQL` query without comments.
///
/// `PromQL` ends a comment at a carriage return or a line feed (`promql/parser/lex.go`,
/// `isEndOfLine`). Text after a comment could therefore leave the parentheses in which the operator
/// sends the query.
pub const QUERY: &str = r"^[^#\x00-\x08\x0B-\x1F\x7F-\x{9F}]*$";

/// Pattern of a name within a surge: a DNS label (RFC 1123).
pub const LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Pattern of a text that a person writes and others read: no control character but tab and line
/// feed. An escape sequence could move the cursor of a terminal.
pub const TEXT: &str = r"^[^\x00-\x08\x0B-\x1F\x7F-\x{9F}]*$";

/// Maximum length of an object name, in bytes.
pub const NAME_LENGTH: usize = 253;

/// The group and the version of an `apiVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersion<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
}

/// Parses an `apiVersion`, see [`API_VERSION`].
///
/// # Errors
///
/// Returns a sentence that quotes the text if the text is not a group and version such as
/// `apps/v1`.
pub fn group_version(text: &str) -> Result<GroupVersion<'_>, String> {
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    let has_group = text.contains('/');
    let fits =
        text.len() <= NAME_LENGTH && is_version(version) && (!has_group || is_subdomain(group));
    if fits {
        return Ok(GroupVersion { group, version });
    }
    Err(format!("apiVersion \"{}\" is not a group and version such as apps/v1", shown(text)))
}

/// Checks a kind, see [`KIND`].
///
/// # Errors
///
/// Returns a sentence that quotes the text if the text is not a kind such as `Deployment`.
pub fn kind(text: &str) -> Result<(), String> {
    let fits = text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits {
        Ok(())
    } else {
        Err(format!("kind \"{}\" is not a kind such as Deployment", shown(text)))
    }
}

/// Checks the name of an object, see [`NAME`].
///
/// # Errors
///
/// Returns a sentence that quotes the text and the rule if the text is not an object name.
pub fn name(text: &str) -> Result<(), String> {
    if is_subdomain(text) && text.len() <= NAME_LENGTH {
        return Ok(());
    }
    let rule = "at most 253 lower-case letters, digits, \"-\" and \".\", and a letter or digit at both ends";
    Err(format!("\"{}\" is not the name of an object: {rule}", shown(text)))
}

/// Checks a key of a `ConfigMap`, see [`KEY`].
///
/// # Errors
///
/// Returns a sentence that quotes the text and the allowed characters if the text is not a key.
pub fn key(text: &str) -> Result<(), String> {
    let fits = (1..=NAME_LENGTH).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && text != "."
        && !text.starts_with("..");
    if fits {
        return Ok(());
    }
    Err(format!(
        "\"{}\" is not a key of a ConfigMap: letters, digits, \"-\", \"_\" and \".\"",
        shown(text)
    ))
}

/// Checks a query, see [`QUERY`].
///
/// # Errors
///
/// Returns a sentence that names the fix if the query contains `#` or a control character. The
/// query may contain line feeds and tabs.
pub fn query(text: &str) -> Result<(), String> {
    if text.contains('#') {
        return Err("the query has a \"#\": remove the comment; in a string write \\x23".to_owned());
    }
    match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some(found) => Err(format!(
            "the query has the control character {}: remove it",
            found.escape_default()
        )),
        None => Ok(()),
    }
}

/// Cuts untrusted text to 80 characters and escapes the control characters, for terminals and logs.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(80) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    shown
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !label.is_empty()
            && label.bytes().all(|b| inner(b) || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn is_version(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = text.strip_prefix('v') else { return false };
    let stage = rest.find(|c: char| !c.is_ascii_digit());
    let (major, rest) = stage.and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let minor = rest.strip_prefix("alpha").or_else(|| rest.strip_prefix("beta"));
    digits(major) && (rest.is_empty() || minor.is_some_and(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_version_are_what_kubernetes_calls_so() {
        for (text, group, version) in [
            ("v1", "", "v1"),
            ("apps/v1", "apps", "v1"),
            ("argoproj.io/v1alpha1", "argoproj.io", "v1alpha1"),
            ("cluster.x-k8s.io/v1beta2", "cluster.x-k8s.io", "v1beta2"),
        ] {
            assert_eq!(group_version(text), Ok(GroupVersion { group, version }), "{text}");
        }
        for text in [
            "",
            "v1%2Fpods",
            "v1/pods",
            "apps/v1?a=1",
            "apps/v1#",
            "apps/v1/deployments",
            "/v1",
            "apps/",
            "../v1",
            "apps/v1/../../v1",
            "./v1",
            "a..b/v1",
            "Apps/v1",
            "apps/V1",
            "apps/v",
            "apps/v1beta",
            "apps/v1rc1",
            "apps/v1\n",
            " apps/v1",
            "apps\\v1",
            "apps//v1",
            "-a/v1",
            "a-/v1",
            "apps/v1 ",
            "äpps/v1",
            "v1\u{0}",
            "apps/v１",
        ] {
            assert!(group_version(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn kinds_names_and_keys_are_one_segment_of_a_path() {
        assert!(kind("Deployment").is_ok() && kind("PodDisruptionBudget2").is_ok());
        for text in
            ["", "deployment", "De/ployment", "Deployment?", "Deployment%2F", "De-ployment", "D\n"]
        {
            assert!(kind(text).is_err(), "{text:?}");
        }
        assert!(name("web").is_ok() && name("web-1.example.org").is_ok() && name("0").is_ok());
        for text in [
            "",
            ".",
            "..",
            "../../kube-system/coredns",
            "a/b",
            "a%2fb",
            "A",
            "web ",
            "-web",
            "web-",
            "a..b",
            "web\r",
            "web?x=1",
            "web#",
            "a_b",
            "wéb",
        ] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert!(name(&"a".repeat(253)).is_ok() && name(&"a".repeat(254)).is_err());
        assert!(
            key("guide.xml").is_ok()
                && key(".hidden").is_ok()
                && key("A_b-c").is_ok()
                && key("-x").is_ok()
        );
        for text in ["", ".", "..", "..a", "a/b", "a b", "a\n", "a%"] {
            assert!(key(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_query_has_no_comment_and_no_control_character() {
        assert!(query("sum(\n\tx{a=\"b\"}[5m])").is_ok());
        for text in [
            "sum(x) # load",
            "a#",
            "x{a=\"#\"}",
            "a\rb",
            "a\u{0}",
            "a\u{85}b",
            "a\u{1b}",
            "a\u{b}",
            "a\u{7f}",
        ] {
            assert!(query(text).is_err(), "{text:?}");
        }
    }

    /// Pieces of valid references and of attempted injections.
    const PIECES: [&str; 40] = [
        "v1",
        "v",
        "1",
        "2",
        "alpha",
        "beta",
        "apps",
        "a",
        "z",
        "0",
        "A",
        "Z",
        "Deployment",
        ".",
        "..",
        "/",
        "-",
        "_",
        "%2F",
        "%",
        "?",
        "#",
        "@",
        ":",
        ";",
        " ",
        "\n",
        "\r",
        "\t",
        "\0",
        "\u{7f}",
        "\u{85}",
        "\u{9f}",
        "\u{a0}",
        "\\",
        "~",
        "é",
        "\u{2028}",
        "１",
        "`",
    ];

    proptest::proptest! {
        #[test]
        fn pattern_and_parser_say_the_same(pieces in proptest::collection::vec(0..PIECES.len(), 0..7)) {
            let text: String = pieces.iter().map(|n| PIECES[*n]).collect();
            let matches = |pattern: &str| regex::Regex::new(pattern).unwrap().is_match(&text);
            for (pattern, parsed) in [
                (API_VERSION, group_version(&text).is_ok()),
                (KIND, kind(&text).is_ok()),
                (NAME, name(&text).is_ok()),
                (KEY, key(&text).is_ok()),
                (QUERY, query(&text).is_ok()),
            ] {
                proptest::prop_assert_eq!(matches(pattern), parsed, "{:?} and {}", text, pattern);
            }
        }
    }

    #[test]
    fn text_from_outside_moves_no_cursor() {
        assert_eq!(shown("a\u{1b}[2J\r\n"), "a\\u{1b}[2J\\r\\n");
        assert_eq!(shown(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
    }
}
