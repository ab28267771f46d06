//! Checking fields: all complaints of a request in one answer.

use app::{AppError, FieldError};
use domain::country::Country;

/// Collects what is wrong with the fields of a request.
#[derive(Debug, Default)]
pub(crate) struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    /// That `field` is not acceptable since it `detail`.
    pub(crate) fn refuse(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError::new(field, "invalid", detail));
    }

    /// One row of 1 to `max` characters, without control characters, and without space around it.
    pub(crate) fn text(&mut self, field: &str, text: String, max: usize) -> String {
        self.text_without(field, &text, max, char::is_control)
    }

    fn text_without(
        &mut self,
        field: &str,
        text: &str,
        max: usize,
        is_refused: impl Fn(char) -> bool,
    ) -> String {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            self.refuse(field, "must not be empty");
        } else if trimmed.chars().count() > max {
            self.refuse(field, format!("must have at most {max} characters"));
        } else if trimmed.chars().any(is_refused) {
            self.refuse(field, "must not have control characters");
        }
        trimmed.to_owned()
    }

    /// As [`Check::text`]; empty text counts as none.
    pub(crate) fn optional_text(&mut self, field: &str, text: Option<String>, max: usize) -> Option<String> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        Some(self.text(field, text, max))
    }

    /// As [`Check::optional_text`], of several rows.
    pub(crate) fn optional_rows(&mut self, field: &str, text: Option<String>, max: usize) -> Option<String> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        let is_refused = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
        Some(self.text_without(field, &text.replace("\r\n", "\n"), max, is_refused))
    }

    /// A country, as two letters of ISO 3166 in capitals; empty text counts as none.
    pub(crate) fn optional_country(&mut self, field: &str, text: Option<String>) -> Option<String> {
        let text = text.filter(|text| !text.trim().is_empty())?;
        let country = self.value(field, text.trim().parse::<Country>())?;
        Some(country.code().to_owned())
    }

    /// An address on the web, by https; empty text counts as none.
    pub(crate) fn optional_link(&mut self, field: &str, text: Option<String>) -> Option<String> {
        let link = self.optional_text(field, text, 500)?;
        let host = link.strip_prefix("https://").unwrap_or_default();
        let is_plain = link.chars().all(|character| {
            character.is_ascii_graphic() && !matches!(character, '<' | '>' | '"' | '\'' | '\\' | '`')
        });
        if host.is_empty() || host.starts_with('/') || !is_plain {
            self.refuse(field, "must be an address that begins with https://");
        }
        Some(link)
    }

    /// A slug: small letters, digits, `_`, `-` and `.`.
    pub(crate) fn slug(&mut self, field: &str, text: String) -> String {
        let is_slug =
            |character: char| matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.');
        if !(1..=100).contains(&text.len()) || !text.chars().all(is_slug) {
            self.refuse(field, "must have 1 to 100 letters, digits, `_`, `-` and `.`");
        }
        text
    }

    /// One e-mail address.
    pub(crate) fn email(&mut self, field: &str, text: String) -> String {
        let text = self.text(field, text, 254);
        let parts = text.split_once('@');
        let is_plain = |character: char| {
            character.is_ascii_graphic()
                && !matches!(character, '<' | '>' | ',' | ';' | '"' | '(' | ')' | '\\' | ':' | '[' | ']')
        };
        let is_address = parts.is_some_and(|(local, domain)| {
            (1..=64).contains(&local.len())
                && local.chars().all(is_plain)
                && !local.starts_with('.')
                && !local.ends_with('.')
                && !local.contains("..")
                && !domain.contains('@')
                && domain.contains('.')
                && domain.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label
                            .chars()
                            .all(|character| character.is_ascii_alphanumeric() || character == '-')
                })
        });
        if !is_address && !self.errors.iter().any(|error| error.field == field) {
            self.refuse(field, "must be one e-mail address");
        }
        text
    }

    /// What `inner` reads of an object in the field `parent`: its complaints name that first.
    pub(crate) fn within<T>(&mut self, parent: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        let mut check = Self::default();
        let value = inner(&mut check);
        let errors = check.errors.into_iter();
        self.errors
            .extend(errors.map(|error| FieldError { field: format!("{parent}.{}", error.field), ..error }));
        value
    }

    /// The value of a result, or its complaint.
    pub(crate) fn value<T, E: ToString>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.refuse(field, error.to_string())).ok()
    }

    /// What was read, if there is nothing wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, AppError> {
        if self.errors.is_empty() { Ok(value) } else { Err(AppError::Invalid(self.errors)) }
    }

    /// As [`Check::finish`], for a value that is there whenever nothing is wrong.
    pub(crate) fn finish_some<T>(self, value: Option<T>) -> Result<T, AppError> {
        match value {
            Some(value) => self.finish(value),
            None => Err(AppError::Invalid(self.errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_row_and_a_note_may_have_several() {
        let mut check = Check::default();
        assert_eq!(check.text("name", " Acme ".into(), 9), "Acme");
        let note = check.optional_rows("note", Some("one\r\ntwo\n\tthree".into()), 20);
        assert_eq!(note.as_deref(), Some("one\ntwo\n\tthree"));
        assert!(check.errors.is_empty(), "{check:?}");
        check.text("name", "line\nbreak".into(), 20);
        check.optional_rows("note", Some("a\0b".into()), 20);
        let fields = check.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>();
        assert_eq!(fields, ["name", "note"]);
    }

    #[test]
    fn an_address_is_one_address() {
        let is_accepted = |text: &str| {
            let mut check = Check::default();
            check.email("email", text.into());
            check.finish(()).is_ok()
        };
        for right in ["a@example.com", "first.last+tag@sub.example.co.uk", "x_1@a-b.example"] {
            assert!(is_accepted(right), "{right}");
        }
        for wrong in [
            "",
            "a",
            "a@b",
            "@example.com",
            "a@@example.com",
            "a@example.com,b@example.com",
            "a b@example.com",
            "a@exa mple.com",
            "A <a@example.com>",
            "a@example.com\r\nBcc: b@example.com",
            "a@-x.com",
            ".a@x.com",
            "a..b@x.com",
            "a@x..com",
        ] {
            assert!(!is_accepted(wrong), "{wrong}");
        }
    }
}
