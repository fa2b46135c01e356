//! Which metrics and labels an expression of PromQL names. Prometheus itself judges whether it is one.

use std::collections::BTreeSet;

/// What an expression leans on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Each selector: the metric, and its matchers as (label, operator, value).
    pub(super) selectors: Vec<(String, Vec<[String; 3]>)>,
    /// What is grouped or joined by.
    pub(super) labels: BTreeSet<String>,
}

const OF_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 10] = [
    "and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end",
];

pub(super) fn names(expression: &str) -> Names {
    let (mut names, mut rest) = (Names::default(), expression.trim_start());
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' | '\'' => string(rest).1,
            // A range, or a number with its unit.
            '[' => after(rest, ']'),
            '0'..='9' => rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.'),
            '{' => panic!("a selector without a metric: {rest}"),
            c if is_of_name(c) => name(rest, &mut names),
            c => &rest[c.len_utf8()..],
        }
        .trim_start();
    }
    names
}

fn name<'a>(text: &'a str, names: &mut Names) -> &'a str {
    let (word, rest) = word(text);
    let next = rest.trim_start();
    let is_aggregation = next.starts_with("by ") || next.starts_with("by(") || next.starts_with("without");
    if OF_LABELS.contains(&word) {
        // `group_left` may stand alone.
        let Some(list) = next.strip_prefix('(') else {
            return rest;
        };
        let (list, rest) = list.split_once(')').expect("a list of labels ends");
        let labels = list.split(',').map(str::trim).filter(|label| !label.is_empty());
        names.labels.extend(labels.map(str::to_owned));
        rest
    } else if WORDS.contains(&word) || next.starts_with('(') || is_aggregation {
        rest
    } else {
        let (matchers, rest) = next.strip_prefix('{').map_or((vec![], rest), matchers);
        names.selectors.push((word.to_owned(), matchers));
        rest
    }
}

/// `label="value", …}`
fn matchers(text: &str) -> (Vec<[String; 3]>, &str) {
    let (mut matchers, mut rest) = (Vec::new(), text.trim_start());
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(rest) = rest.strip_prefix('}') {
            return (matchers, rest);
        }
        let (label, at_operator) = word(rest);
        let operator = at_operator.trim_start();
        let end = operator.find(['"', '\'']).expect("a matcher has a value");
        let (value, after) = string(&operator[end..]);
        matchers.push([label, operator[..end].trim(), value].map(str::to_owned));
        rest = after;
    }
}

/// A quoted string without escapes, of which ours have none.
fn string(text: &str) -> (&str, &str) {
    let quote = text.chars().next().expect("a quote");
    let inner = &text[1..];
    let end = inner.find(quote).expect("a string ends");
    assert!(!inner[..end].contains('\\'), "an escape in {text}");
    (&inner[..end], &inner[end + 1..])
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_of_name(c)).unwrap_or(text.len()))
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

#[test]
fn metrics_and_labels_are_found_and_nothing_else_is() {
    let expression = "histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x=\"1\", route!~\"/v1/{id}.*\"}[5m] offset 1w)))\n\
                      / on (namespace) group_left max(up) > bool 1e3 and 0 * sum(b) without (pod) unless c or time() - d > 5";
    let found = names(expression);
    let metrics: Vec<&str> = found.selectors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(metrics, ["a_bucket", "up", "b", "c", "d"]);
    assert_eq!(found.selectors[0].1[0], ["x", "=", "1"]);
    assert_eq!(found.selectors[0].1[1], ["route", "!~", "/v1/{id}.*"]);
    let labels: Vec<&str> = found.labels.iter().map(String::as_str).collect();
    assert_eq!(labels, ["job", "le", "namespace", "pod"]);
}
