//! Keys that are UUIDs, which are kept as 16 bytes.

use uuid::Uuid;

/// The place of the first digit of each byte.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// What stands for no digit.
const NONE: u8 = 0x80;

/// The value of each digit: lower case only.
#[allow(clippy::indexing_slicing, reason = "a panic would be one of the compiler")]
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// The bytes of a UUID in its usual form, in lower case with hyphens; `None` of any other key.
pub(crate) fn parsed(key: &str) -> Option<[u8; 16]> {
    let text = <&[u8; uuid::fmt::Hyphenated::LENGTH]>::try_from(key.as_bytes()).ok()?;
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    let value = |digit: &u8| VALUES.get(usize::from(*digit)).copied().unwrap_or(NONE);
    let (mut bytes, mut all) = ([0; 16], 0);
    for (byte, place) in bytes.iter_mut().zip(PLACES) {
        let (high, low) = (value(text.get(place)?), value(text.get(place + 1)?));
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all & NONE == 0).then_some(bytes)
}

/// The key that was parsed to `bytes`.
pub(crate) fn text(bytes: [u8; 16]) -> String {
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    let text: &str = Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut buffer);
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_uuid_is_its_bytes(uuid in any::<u128>(), place in 0_usize..36, other in any::<u8>()) {
            let uuid = Uuid::from_u128(uuid);
            let key = uuid.to_string();
            prop_assert_eq!(parsed(&key), Some(uuid.into_bytes()));
            prop_assert_eq!(text(uuid.into_bytes()), key.clone());
            let mut changed = key.into_bytes();
            changed[place] = other;
            if let Ok(changed) = String::from_utf8(changed) {
                let usual = Uuid::try_parse(&changed).ok().filter(|uuid| uuid.to_string() == changed);
                prop_assert_eq!(parsed(&changed), usual.map(Uuid::into_bytes));
            }
        }
    }

    #[test]
    fn what_only_means_a_uuid_is_text() {
        for key in ["", "0190A8D8-5b7c-7d3e-8f00-0123456789ab", "0190a8d85b7c7d3e8f000123456789ab"] {
            assert_eq!(parsed(key), None, "{key}");
        }
    }
}
