//! Conditions on labels as users write them: `path="/a,b",state!=running,vm_name=~"web-.*"`.
//!
//! It is what stands between the braces of a PromQL selector (<https://prometheus.io/docs/prometheus/latest/querying/basics/>),
//! and the quotes may be left out where a value has no comma, quote or space at its ends.

use nkudo_timeseries::{Condition, Matcher, Pattern};

/// Conditions of one question.
const MATCHERS_MAX: usize = 64;
const EXAMPLE: &str = r#"state=running,path="/a,b",level!=info,vm_name=~"web-.*",vm_name!~"web-1.""#;

/// Why a text is none, and at which of its characters, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {fault}; write them like {EXAMPLE}")]
pub(crate) struct NoLabels {
    fault: String,
    at: usize,
}

/// The conditions of a text; none of an empty one. A comma at the end is allowed.
pub(crate) fn parse(text: &str) -> Result<Vec<Matcher>, NoLabels> {
    let mut rest = Rest { text, left: text };
    let mut matchers = Vec::new();
    rest.skip_spaces();
    while !rest.left.is_empty() {
        if matchers.len() == MATCHERS_MAX {
            return Err(rest.fault(format!("there are more than {MATCHERS_MAX} conditions")));
        }
        matchers.push(rest.matcher()?);
        rest.skip_spaces();
        if !rest.left.is_empty() && !rest.take(",") {
            return Err(rest.fault("a comma is missing".to_owned()));
        }
        rest.skip_spaces();
    }
    Ok(matchers)
}

/// What is still to be read.
struct Rest<'t> {
    text: &'t str,
    left: &'t str,
}

impl<'t> Rest<'t> {
    fn fault(&self, fault: String) -> NoLabels {
        self.fault_at(self.left, fault)
    }

    fn fault_at(&self, left: &str, fault: String) -> NoLabels {
        NoLabels { fault, at: self.text.chars().count() - left.chars().count() + 1 }
    }

    fn skip_spaces(&mut self) {
        self.left = self.left.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        let after = self.left.strip_prefix(token);
        self.left = after.unwrap_or(self.left);
        after.is_some()
    }

    /// What is before the first character that is the end; all of it where none is.
    fn take_until(&mut self, is_end: impl Fn(char) -> bool) -> &'t str {
        let (taken, left) = self.left.split_at(self.left.find(is_end).unwrap_or(self.left.len()));
        self.left = left;
        taken
    }

    fn matcher(&mut self) -> Result<Matcher, NoLabels> {
        let begin = self.left;
        let label = self.take_until(|char| !(char.is_ascii_alphanumeric() || char == '_'));
        if label.is_empty() || label.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.fault_at(begin, "a label's name is missing".to_owned()));
        }
        self.skip_spaces();
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| self.take(operator));
        let Some(operator) = operator else {
            let fault =
                format!("`{label}` is not followed by =, !=, =~ or !~ (a value with a comma needs quotes)");
            return Err(self.fault(fault));
        };
        self.skip_spaces();
        let begin = self.left;
        let value = self.value()?;
        let pattern = |value: &str| {
            Pattern::new(value).map_err(|error| self.fault_at(begin, format!("`{value}` is {error}")))
        };
        let condition = match operator {
            "=~" => Condition::Like(pattern(&value)?),
            "!~" => Condition::NotLike(pattern(&value)?),
            "!=" => Condition::NotEqual(value),
            _ => Condition::Equal(value),
        };
        Ok(Matcher { label: label.to_owned(), condition })
    }

    fn value(&mut self) -> Result<String, NoLabels> {
        for quote in ['"', '\'', '`'] {
            let begin = self.left;
            if let Some(left) = begin.strip_prefix(quote) {
                self.left = left;
                return self.quoted(begin, quote);
            }
        }
        if self.left.starts_with(['=', '~']) {
            return Err(self.fault("a value that begins with = or ~ needs quotes".to_owned()));
        }
        let bare = self.take_until(|char| matches!(char, ',' | '"' | '\'' | '`'));
        if !self.left.is_empty() && !self.left.starts_with(',') {
            return Err(self.fault("a value with quotes in it needs quotes around it".to_owned()));
        }
        Ok(bare.trim_end().to_owned())
    }

    /// The rest of a value in quotes. Backslashes escape as in PromQL, and nothing between backticks.
    fn quoted(&mut self, begin: &str, quote: char) -> Result<String, NoLabels> {
        let mut value = String::new();
        loop {
            value.push_str(self.take_until(|char| char == quote || (char == '\\' && quote != '`')));
            if let Some(left) = self.left.strip_prefix(quote) {
                self.left = left;
                return Ok(value);
            }
            let mut chars = self.left.chars();
            let (Some(_), Some(escaped)) = (chars.next(), chars.next()) else {
                return Err(self.fault_at(begin, format!("the closing {quote} is missing")));
            };
            value.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '\\' | '"' | '\'' => escaped,
                other => {
                    let how = r"a backslash is \\, or all of the value goes between backticks";
                    return Err(self.fault(format!(r"\{other} means nothing: {how}")));
                }
            });
            self.left = chars.as_str();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, Condition)]) {
        let expected = expected
            .iter()
            .map(|(label, condition)| Matcher { label: (*label).to_owned(), condition: condition.clone() });
        assert_eq!(parse(text), Ok(expected.collect()), "{text}");
    }

    fn equal(value: &str) -> Condition {
        Condition::Equal(value.to_owned())
    }

    fn like(pattern: &str) -> Condition {
        Condition::Like(Pattern::new(pattern).unwrap())
    }

    #[test]
    fn values_stand_bare_or_in_quotes() {
        check("", &[]);
        check("state=running", &[("state", equal("running"))]);
        check(r#"path="/a,b",x=y"#, &[("path", equal("/a,b")), ("x", equal("y"))]);
        check(" a = b c , d='e\"=,f', ", &[("a", equal("b c")), ("d", equal("e\"=,f"))]);
        check(r#"a="say \"ü\\\n\"",b="#, &[("a", equal("say \"ü\\\n\"")), ("b", equal(""))]);
        check("path=/a=b&c", &[("path", equal("/a=b&c"))]);
        check("a=\"\"", &[("a", equal(""))]);
    }

    #[test]
    fn operators_are_those_of_promql() {
        check("level!=info", &[("level", Condition::NotEqual("info".to_owned()))]);
        check("vm=~web-.*", &[("vm", like("web-.*"))]);
        check(r#"vm =~ "a,b|c\\.d""#, &[("vm", like(r"a,b|c\.d"))]);
        check(r"vm!~`web-\d`", &[("vm", Condition::NotLike(Pattern::new(r"web-\d").unwrap()))]);
        check("vm=\"~x\"", &[("vm", equal("~x"))]);
    }

    #[test]
    fn what_is_none_is_told_with_its_place_and_an_example() {
        let check = |text: &str, at: usize, words: &str| {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.at, at, "{text}: {fault}");
            let told = fault.to_string();
            assert!(told.contains(words) && told.contains(r#"path="/a,b""#), "{text}: {told}");
        };
        check("running", 8, "`running` is not followed by");
        // A shell took the quotes.
        check("path=/a,b", 10, "a value with a comma needs quotes");
        check("ü=1", 1, "a label's name is missing");
        check("a=1,,b=2", 5, "a label's name is missing");
        check("9a=1", 1, "a label's name is missing");
        check("a=\"ü\" b=1", 7, "a comma is missing");
        check("a=ü,b=\"1", 7, "the closing \" is missing");
        check(r#"a="1\"#, 3, "the closing \" is missing");
        check(r#"a="1\d""#, 5, r"\d means nothing");
        check("a==1", 3, "needs quotes");
        check("a=b\"c", 4, "needs quotes around it");
        check("a=~\"(\"", 4, "`(` is no regular expression: unclosed group");
        check(&"a=1,".repeat(65), 257, "more than 64");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a-z=!~,\"'`\\\\ ü(]{0,24}") {
            if let Err(fault) = parse(&text) {
                assert!((1..=text.chars().count() + 1).contains(&fault.at), "{fault:?}");
            }
        }

        #[test]
        fn any_value_can_be_asked_for(value in ".{0,24}") {
            let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
            check(&format!("a=\"{quoted}\""), &[("a", equal(&value))]);
        }
    }
}
