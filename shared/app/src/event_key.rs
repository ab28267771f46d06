//! Keys of events whose sender names them otherwise.

use auth::hexadecimal;
use domain::event::KEY_CHARACTERS_MAX;
use sha2::{Digest, Sha256};

/// The key of an event that its source tells apart from its others by an id, as CloudEvents are: `source|id`, so that
/// it is told as that key by any other way in. A `|` or `\` in the source has a `\` before it: no two pairs have one
/// key. One too long for a key is `sha256:` and the hash of it.
pub fn key_of_source(source: &str, id: &str) -> String {
    short(format!("{}|{id}", source.replace('\\', "\\\\").replace('|', "\\|")))
}

/// The key of an event without one, at this index of a request that has a key: `request#index`, the same whenever the
/// request is repeated. One too long for a key is `sha256:` and the hash of it.
pub fn key_of_request(request: &str, index: usize) -> String {
    short(format!("{request}#{index}"))
}

fn short(key: String) -> String {
    if key.chars().count() <= KEY_CHARACTERS_MAX {
        return key;
    }
    format!("sha256:{}", hexadecimal(&Sha256::digest(key)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_says_source_and_id_and_only_those() {
        assert_eq!(key_of_source("/gateway", "e1"), "/gateway|e1");
        assert_eq!(key_of_source("a|b", "c"), r"a\|b|c");
        assert_eq!(key_of_source(r"a\", "|c"), r"a\\||c");
        let long = key_of_source(&"s".repeat(250), "e1234");
        assert_eq!((long.len(), &long[..10]), (71, "sha256:f1e"));
        assert_eq!(key_of_source(&"ß".repeat(250), "e123").chars().count(), 255);
    }

    #[test]
    fn a_key_says_request_and_index() {
        assert_eq!(key_of_request("r1", 0), "r1#0");
        let long = [key_of_request(&"r".repeat(255), 7), key_of_request(&"r".repeat(255), 8)];
        assert!(long.iter().all(|key| key.len() == 71) && long[0] != long[1], "{long:?}");
    }

    #[test]
    fn no_two_events_have_one_key() {
        let longer = |texts: &[String]| -> Vec<String> {
            texts.iter().flat_map(|text| ["a", "|", "\\"].map(|end| format!("{text}{end}"))).collect()
        };
        let one = longer(&[String::new()]);
        let two = longer(&one);
        let texts = [longer(&two), two, one].concat();
        let keys = texts.iter().flat_map(|source| texts.iter().map(move |id| key_of_source(source, id)));
        assert_eq!(keys.collect::<HashSet<_>>().len(), texts.len() * texts.len());
    }
}
