//! Countries of ISO 3166-1.

use std::{fmt, str::FromStr};

/// A country, by its two letters: those of ISO 3166-1, and `XK` for Kosovo, which the standard leaves to its users.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Country(&'static str);

/// Text that is not the code of a country.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the code of a country, as two letters of ISO 3166")]
pub struct UnknownCountry;

impl Country {
    /// Its two capital letters.
    pub fn code(self) -> &'static str {
        self.0
    }
}

impl FromStr for Country {
    type Err = UnknownCountry;

    /// Takes the code in either case.
    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        let found = CODES.split_ascii_whitespace().find(|code| code.eq_ignore_ascii_case(text));
        found.map(Self).ok_or(UnknownCountry)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The 249 codes that are given to countries, and Kosovo's.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
    BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE \
    EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM \
    HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC \
    LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
    NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
    SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW \
    XK";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_to_a_country_is_one() {
        for (text, expected) in [
            ("DE", Some("DE")),
            ("us", Some("US")),
            ("gB", Some("GB")),
            ("XK", Some("XK")),
            ("SS", Some("SS")), // since 2011
            ("XX", None),
            ("UK", None), // reserved
            ("EU", None), // reserved
            ("AN", None), // until 2010
            ("D", None),
            ("DEU", None),
            ("D E", None),
            ("", None),
            ("ÄÖ", None),
        ] {
            assert_eq!(text.parse::<Country>().ok().map(Country::code), expected, "{text}");
        }
        let codes = CODES.split_ascii_whitespace().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(codes.len(), 249 + 1);
        assert!(codes.iter().all(|code| code.len() == 2));
    }
}
