//! Parses JSON bodies, and says where in the body the first error is.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{bounded, unquoted};
use crate::problem::{Class, Problem};

/// One JSON value and nothing else.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(
            Class::Invalid,
            "body_missing",
            "this request needs a JSON body",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refusal(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(
        Class::Invalid,
        "json_malformed",
        bounded(&format!("the body is not JSON: {error}")),
    )
    .remedy("send one JSON value in UTF-8")
}

/// Tells where in the body the error is, and which kind of error.
fn refusal(path: &str, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return malformed(error);
    }
    let text = error.to_string();
    // The position adds nothing to the path.
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    let parent = path.trim_start_matches('.');
    // Absent and repeated fields are reported at what holds them.
    let child = format!("{parent}.{}", text.split('`').nth(1).unwrap_or_default());
    let child = child.trim_start_matches('.');
    let (code, field, remedy) = match text.split_once(" field `").map(|(what, _)| what) {
        Some("unknown") => (
            "unknown_field",
            parent,
            Some("leave it out, or check its spelling"),
        ),
        Some("missing") => ("missing_field", child, Some("add it")),
        Some("duplicate") => ("duplicate_field", child, Some("send it once")),
        _ => ("invalid_value", parent, None),
    };
    let mut problem = Problem::new(Class::Invalid, code, bounded(&unquoted(text)));
    problem.field = (!field.is_empty()).then(|| bounded(field));
    problem.remedy = remedy.map(str::to_owned);
    problem
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::text::Text;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsing is looked at")]
    struct Code {
        name: Text<8>,
        members: Vec<Member>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsing is looked at")]
    struct Member {
        weight: u8,
    }

    fn refused(body: &str) -> (&'static str, Option<String>, String) {
        let problem = decode::<Code>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.class, Class::Invalid);
        (problem.code, problem.field, problem.detail)
    }

    #[test]
    fn a_problem_names_the_path_in_the_body() {
        let cases = [
            ("", "body_missing", None, "needs a JSON body"),
            (" \n", "body_missing", None, "needs a JSON body"),
            ("{", "json_malformed", None, "EOF"),
            (
                "{\"name\": nope}",
                "json_malformed",
                None,
                "expected ident at line 1 column 11",
            ),
            (
                r#"{"name":"a","members":[]} x"#,
                "json_malformed",
                None,
                "trailing characters",
            ),
            ("[1]", "invalid_value", Some("[0]"), "invalid type"),
            ("\"text\"", "invalid_value", None, "invalid type"),
            (
                r#"{"members":[]}"#,
                "missing_field",
                Some("name"),
                "missing field `name`",
            ),
            (
                r#"{"name":"a","members":[{}]}"#,
                "missing_field",
                Some("members[0].weight"),
                "missing field",
            ),
            (
                r#"{"name":"a","members":[],"nmae":1}"#,
                "unknown_field",
                Some("nmae"),
                "unknown field `nmae`",
            ),
            (
                r#"{"name":"a","members":[{"weight":1},{"x":1}]}"#,
                "unknown_field",
                Some("members[1].x"),
                "expected `weight`",
            ),
            (
                r#"{"name":"a","members":[{"weight":256}]}"#,
                "invalid_value",
                Some("members[0].weight"),
                "invalid value: integer, expected u8",
            ),
            (
                r#"{"name":"a","name":"b"}"#,
                "duplicate_field",
                Some("name"),
                "duplicate field",
            ),
            (
                r#"{"name":"123456789","members":[]}"#,
                "invalid_value",
                Some("name"),
                "shorten it to 8",
            ),
            (
                r#"{"name":"a\u0000b","members":[]}"#,
                "invalid_value",
                Some("name"),
                "U+0000",
            ),
        ];
        for (body, code, field, detail) in cases {
            let (got_code, got_field, got_detail) = refused(body);
            assert_eq!(
                (got_code, got_field.as_deref()),
                (code, field),
                "{body}: {got_detail}"
            );
            assert!(got_detail.contains(detail), "{body}: {got_detail}");
        }
    }

    #[test]
    fn what_a_problem_quotes_is_bounded() {
        let (_, _, detail) = refused(&format!(
            "{{\"name\":\"a\",\"members\":\"{}\"}}",
            "漢".repeat(9999)
        ));
        assert!(detail.chars().count() <= 301);
        let (_, field, _) = refused(&format!("{{\"{}\":1}}", "x".repeat(9999)));
        assert!(field.unwrap().len() < 400);
    }

    #[test]
    fn nesting_cannot_exhaust_the_stack() {
        assert!(decode::<serde_json::Value>("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
