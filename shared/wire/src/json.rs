//! Strict JSON: no unknown, missing or doubled fields, no trailing data, and the field named in every
//! complaint.

use app::FieldError;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{by_name::ByName, problem::Problem};

/// Tells a field that is null from one that is not there.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The name under which serde_json hands on a number of arbitrary precision, as if it were an object.
pub(crate) const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// Reads a body.
///
/// Errors: 400 if it is no JSON, 422 with the field if it is not what is expected.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| complaint(".", &error))?;
    // How a number of arbitrary precision passes through serde. Nobody sends it but to be taken for a number.
    if body.windows(NUMBER_TOKEN.len()).any(|window| window == NUMBER_TOKEN.as_bytes()) {
        let error = FieldError::new(NUMBER_TOKEN, "unknown_field", "is not a field of this request");
        return Err(Problem::from(app::AppError::Invalid(vec![error])));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let read = T::deserialize(ByName(serde_path_to_error::Deserializer::new(&mut json, &mut track)));
    read.map_err(|error| {
        let path = track.path().to_string();
        if error.is_data() {
            return complaint(&path, &error);
        }
        // It is valid JSON, as was seen above: something else stands where a word is expected, or a number that is
        // too large.
        let is_number = error.to_string().starts_with("number out of range");
        let detail = if is_number { "must be a smaller number" } else { "must be text" };
        let error = FieldError::new(field_or_body(&path), "invalid_type", detail);
        Problem::from(app::AppError::Invalid(vec![error]))
    })
}

fn complaint(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    // serde_json appends where in the text it was, which is of no use in a field's complaint.
    let text = text.split(" at line ").next().unwrap_or_default();
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        return Problem::malformed(format!(
            "the body is not valid JSON: {text} (line {line}, column {column})"
        ));
    }
    let parent = if path == "." { "" } else { path };
    let named = |prefix: &str| {
        let rest = text.strip_prefix(prefix)?;
        rest.split('`').next().map(|name| join(parent, name))
    };
    let error = if let Some(field) = named("unknown field `") {
        FieldError::new(field, "unknown_field", "is not a field of this request")
    } else if let Some(field) = named("missing field `") {
        FieldError::new(field, "required", "is required")
    } else if let Some(field) = named("duplicate field `") {
        FieldError::new(field, "duplicate_field", "is there twice")
    } else if let Some(rest) = text.strip_prefix("unknown variant `") {
        let (value, expected) = rest.split_once('`').unwrap_or((rest, ""));
        let expected = expected.trim_start_matches(", expected ").replace('`', "");
        let value = value.chars().take(64).collect::<String>();
        FieldError::new(field_or_body(parent), "invalid", format!("is `{value}`, expected {expected}"))
    } else if let Some(rest) = text.strip_prefix("invalid type: ") {
        let (found, expected) = rest.split_once(", expected ").unwrap_or((rest, "something else"));
        FieldError::new(field_or_body(parent), "invalid_type", of_wrong_type(found, expected))
    } else if let Some((_, expected)) =
        text.strip_prefix("invalid value: ").and_then(|rest| rest.split_once(", expected "))
    {
        FieldError::new(field_or_body(parent), "invalid", of_wrong_type("value", expected))
    } else {
        FieldError::new(field_or_body(parent), "invalid", text)
    };
    Problem::from(app::AppError::Invalid(vec![error]))
}

/// What is wrong with a value of another type than expected, without the names that types have here.
fn of_wrong_type(found: &str, expected: &str) -> String {
    let expected = match expected.split(' ').next().unwrap_or_default() {
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            return "must be a whole number, not negative and not too large".into();
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => return "must be a whole number".into(),
        "struct" | "map" => "an object",
        "tuple" => "a list",
        "enum" => "one of its words",
        _ => match expected {
            "a map" => "an object",
            "a sequence" => "a list",
            _ => expected,
        },
    };
    let found = match found.split(' ').next().unwrap_or_default() {
        "floating" => "number",
        "sequence" => "list",
        "map" => "object",
        "unit" => "null",
        found => found,
    };
    match found {
        "null" => format!("is null, expected {expected}"),
        found if found.starts_with(['a', 'e', 'i', 'o', 'u']) => {
            format!("is an {found}, expected {expected}")
        }
        found => format!("is a {found}, expected {expected}"),
    }
}

/// The path of a field inside `parent`. The path may end with the field already.
fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else if parent == name || parent.ends_with(&format!(".{name}")) {
        parent.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

fn field_or_body(path: &str) -> &str {
    if path.is_empty() { "body" } else { path }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{NumberIn, PropertiesIn};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Body {
        name: String,
        amount: Option<NumberIn>,
        #[serde(default)]
        tiers: Vec<Tier>,
        kind: Option<Kind>,
        count: Option<u32>,
        #[serde(default)]
        properties: PropertiesIn,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Tier {
        up_to: Option<NumberIn>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum Kind {
        Sum,
        Max,
    }

    fn check(body: &str, status: u16, field: &str, code: &str, detail: &str) {
        let problem = parse::<Body>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.status, status, "{body}: {problem:?}");
        match problem.errors.first() {
            Some(error) => {
                assert_eq!((error.field.as_str(), error.code.as_str()), (field, code), "{body}");
                assert_eq!(error.detail, detail, "{body}");
            }
            None => assert!(problem.detail.starts_with(detail), "{body}: {}", problem.detail),
        }
    }

    #[test]
    fn every_complaint_names_its_field() {
        check(r#"{"name": "#, 400, "", "", "the body is not valid JSON");
        check(r#"{"name": "a"} x"#, 400, "", "", "the body is not valid JSON");
        check("", 400, "", "", "the body is not valid JSON");
        check(r#"{"name": "a", "nmae": 1}"#, 422, "nmae", "unknown_field", "is not a field of this request");
        check(r#"{}"#, 422, "name", "required", "is required");
        check(r#"{"name": "a", "name": "b"}"#, 422, "name", "duplicate_field", "is there twice");
        check(r#"{"name": 1}"#, 422, "name", "invalid_type", "is an integer, expected a string");
        check(r#" ["a"]"#, 422, "body", "invalid_type", "is a list, expected an object");
        check("[", 400, "", "", "the body is not valid JSON");
        let whole = "must be a whole number, not negative and not too large";
        for (count, code) in
            [("1.5", "invalid_type"), ("\"x\"", "invalid_type"), ("-1", "invalid"), ("1e300", "invalid_type")]
        {
            check(&format!(r#"{{"name": "a", "count": {count}}}"#), 422, "count", code, whole);
        }
        check(
            r#"{"name": "a", "tiers": [[]]}"#,
            422,
            "tiers[0]",
            "invalid_type",
            "is a list, expected an object",
        );
        check(
            r#"{"name": "a", "tiers": [{}, [1]]}"#,
            422,
            "tiers[1]",
            "invalid_type",
            "is a list, expected an object",
        );
        check(r#"{"name": "a", "tiers": {}}"#, 422, "tiers", "invalid_type", "is an object, expected a list");
        check(r#"{"name": null}"#, 422, "name", "invalid_type", "is null, expected a string");
        check(r#"{"name": "a", "kind": 1}"#, 422, "kind", "invalid_type", "must be text");
        check("7", 422, "body", "invalid_type", "is an integer, expected an object");
        check(r#"{"name": "a", "amount": "x"}"#, 422, "amount", "invalid", "must be a decimal number");
        check(r#"{"name": "a", "amount": true}"#, 422, "amount", "invalid", "must be a decimal number");
        check(
            r#"{"name": "a", "tiers": [{}, {"upto": 1}]}"#,
            422,
            "tiers[1].upto",
            "unknown_field",
            "is not a field of this request",
        );
        check(
            r#"{"name": "a", "tiers": [{"up_to": 1e-13}]}"#,
            422,
            "tiers[0].up_to",
            "invalid",
            "must have at most 12 decimals",
        );
        check(r#"{"name": "a", "kind": "AVG"}"#, 422, "kind", "invalid", "is `AVG`, expected SUM or MAX");
        check(
            r#"{"name": "a", "properties": {"a": 1, "a": 2}}"#,
            422,
            "properties.a",
            "duplicate_field",
            "is there twice",
        );
    }
}
