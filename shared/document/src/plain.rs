//! Plain text: what others wrote, made harmless before it is shown.

use crate::DocumentError;

/// Browsers and mail programs agree on addresses up to this length.
const LINK_BYTES_MAX: usize = 2_000;

/// One row: line breaks and other control characters become single spaces, and characters that only turn the
/// direction of text are dropped, since with them a name could rearrange the figures beside it.
pub(crate) fn row(text: &str) -> String {
    let mut row = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !turns_direction(*character)) {
        let is_space = character == ' ' || is_break(character);
        match (is_space, row.ends_with(' ')) {
            (true, true) => (),
            (true, false) => row.push(' '),
            (false, _) => row.push(character),
        }
    }
    row.trim().to_owned()
}

/// The rows of a text of several lines, without empty ones at either end.
pub(crate) fn rows(text: &str) -> Vec<String> {
    text.trim().lines().map(row).collect()
}

/// `link`, unless it is something other than an address of the web, such as `javascript:`.
pub(crate) fn link(field: &'static str, link: Option<&str>) -> Result<Option<String>, DocumentError> {
    let Some(link) = link else { return Ok(None) };
    let is_web = ["https://", "http://"].iter().any(|scheme| {
        link.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && link.len() > scheme.len()
    });
    let is_clean = !link.chars().any(|character| character.is_whitespace() || character.is_control());
    if is_web && is_clean && link.len() <= LINK_BYTES_MAX {
        Ok(Some(link.to_owned()))
    } else {
        Err(DocumentError::Link { field })
    }
}

fn is_break(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// The embeddings, overrides and isolates of Unicode's bidirectional algorithm. Letters need none of them to be
/// shown in their own direction.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
