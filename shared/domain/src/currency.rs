//! Currencies of ISO 4217 and the number of decimals each is paid in.

use std::{fmt, str::FromStr};

/// A currency of ISO 4217, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    decimals: u32,
}

/// Text that is not the code of a currency in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 4217 currency code")]
pub struct UnknownCurrency(String);

impl Currency {
    /// The US dollar, in which organizations start.
    pub const USD: Self = Self { code: "USD", decimals: 2 };

    /// The three capital letters of ISO 4217.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// Decimals of the minor unit: 2 for cents, 0 for yen, 3 for dinars.
    pub fn decimals(self) -> u32 {
        self.decimals
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    /// Takes the code in either case.
    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let find = |codes: &'static str, decimals| {
            codes
                .split_ascii_whitespace()
                .find(|code| code.eq_ignore_ascii_case(text))
                .map(|code| Self { code, decimals })
        };
        find(TWO_DECIMALS, 2)
            .or_else(|| find(NO_DECIMALS, 0))
            .or_else(|| find(THREE_DECIMALS, 3))
            .or_else(|| find(FOUR_DECIMALS, 4))
            .ok_or_else(|| UnknownCurrency(text.chars().take(16).collect()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

// ISO 4217, list one (currencies and funds in use), without metals, testing and no-currency codes.
const TWO_DECIMALS: &str = "
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
    HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED
    VES WST XCD XCG YER ZAR ZMW ZWG";
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";
const FOUR_DECIMALS: &str = "CLF UYW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_currency_has_its_decimals() {
        for (text, code, decimals) in
            [("usd", "USD", 2), ("EUR", "EUR", 2), ("JPY", "JPY", 0), ("KWD", "KWD", 3), ("CLF", "CLF", 4)]
        {
            let currency: Currency = text.parse().unwrap();
            assert_eq!((currency.code(), currency.decimals()), (code, decimals));
        }
        for wrong in ["", "US", "USDX", "XXX", "US D", "€"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
        }
    }
}
