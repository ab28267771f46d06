//! Tax: which of an organization's rates apply to a customer, and what they come to on an invoice.

use rust_decimal::Decimal;

use crate::{
    currency::Currency,
    money::{Money, MoneyError},
};

/// What an organization decides about tax.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaxPolicy {
    /// Its rates.
    pub rates: Vec<TaxRate>,
    /// Whether prices contain the tax already. Otherwise it comes on top.
    pub is_included: bool,
    /// Whether businesses in another country of the European Union owe the tax themselves.
    pub applies_reverse_charge: bool,
}

/// A rate of tax, and whose purchases it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxRate {
    /// What it is called on invoices.
    pub name: String,
    /// The customer's country, as two capital letters.
    pub country: String,
    /// The customer's state; `None` for the whole country.
    pub state: Option<String>,
    /// In percent of the price without tax.
    pub percent: Decimal,
    /// Whether this rate of a state stands in for those of its country. Otherwise both apply.
    pub replaces_country: bool,
}

/// What is known of who is to be taxed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taxpayer<'a> {
    /// Its country, as two capital letters.
    pub country: Option<&'a str>,
    /// Its state, in whatever case.
    pub state: Option<&'a str>,
    /// Whether it gave a tax id, and so is a business.
    pub has_tax_id: bool,
    /// What was decided about it by hand.
    pub exemption: TaxExemption,
}

/// What was decided about a customer's tax by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaxExemption {
    /// The rules apply.
    #[default]
    None,
    /// It pays no tax.
    Exempt,
    /// It owes the tax to its own state.
    ReverseCharge,
}

/// How an invoice is taxed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaxTreatment {
    /// By rates.
    Taxed,
    /// Not at all, since no rate is for where the customer is.
    NoRate,
    /// Not at all, since the customer is exempt.
    Exempt,
    /// Not by us: the customer owes the tax.
    ReverseCharge,
}

/// The rates for one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxTerms {
    /// How it is taxed.
    pub treatment: TaxTreatment,
    /// Whether prices contain the tax already.
    pub is_included: bool,
    /// The rates, by name, in percent.
    pub rates: Vec<(String, Decimal)>,
}

/// The tax on an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// How it came about.
    pub treatment: TaxTreatment,
    /// Whether the amounts of the lines contain it.
    pub is_included: bool,
    /// Each rate and what it comes to.
    pub lines: Vec<TaxLine>,
}

/// What one rate comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxLine {
    /// What it is called.
    pub name: String,
    /// In percent of the subtotal.
    pub percent: Decimal,
    /// Rounded to the currency, once.
    pub amount: Money,
}

/// The most rates an organization may have: they are all on one item, and read with each draft.
pub const TAX_RATES_MAX: usize = 200;

impl TaxPolicy {
    /// How a customer of an organization in `seller_country` is taxed. What was decided by hand goes first,
    /// then reverse charge, then the rates of its state and country.
    pub fn terms(&self, seller_country: Option<&str>, buyer: Taxpayer<'_>) -> TaxTerms {
        let is_abroad =
            self.applies_reverse_charge && buyer.has_tax_id && is_intra_union(seller_country, buyer);
        let treatment = match buyer.exemption {
            TaxExemption::Exempt => TaxTreatment::Exempt,
            TaxExemption::ReverseCharge => TaxTreatment::ReverseCharge,
            TaxExemption::None if is_abroad => TaxTreatment::ReverseCharge,
            TaxExemption::None => TaxTreatment::Taxed,
        };
        let rates = match treatment {
            TaxTreatment::Taxed => self.rates_for(buyer),
            TaxTreatment::NoRate | TaxTreatment::Exempt | TaxTreatment::ReverseCharge => Vec::new(),
        };
        let is_rated = treatment != TaxTreatment::Taxed || !rates.is_empty();
        let treatment = if is_rated { treatment } else { TaxTreatment::NoRate };
        TaxTerms { treatment, is_included: self.is_included, rates }
    }

    fn rates_for(&self, buyer: Taxpayer<'_>) -> Vec<(String, Decimal)> {
        let is_state = |rate: &TaxRate| match (&rate.state, buyer.state) {
            (Some(state), Some(given)) => state.trim().to_lowercase() == given.trim().to_lowercase(),
            (Some(_), None) | (None, _) => false,
        };
        let in_country = self.rates.iter().filter(|rate| Some(rate.country.as_str()) == buyer.country);
        let in_country = in_country.collect::<Vec<_>>();
        let is_replaced = in_country.iter().any(|rate| is_state(rate) && rate.replaces_country);
        let rates = in_country
            .into_iter()
            .filter(|rate| if rate.state.is_none() { !is_replaced } else { is_state(rate) });
        rates.map(|rate| (rate.name.clone(), rate.percent)).collect()
    }
}

impl TaxTerms {
    /// The tax on lines that come to `sum`: each rate × the subtotal, rounded once. Where prices contain
    /// the tax, the subtotal is what is left of them: of 118.00 at 18 %, 18.00 are tax.
    ///
    /// Errors: `Overflow` past 28 digits.
    pub fn tax_on(&self, sum: Money) -> Result<Tax, MoneyError> {
        let all = self.rates.iter().map(|(_, percent)| *percent).sum::<Decimal>();
        let base = if self.is_included { Decimal::ONE_HUNDRED + all } else { Decimal::ONE_HUNDRED };
        let line = |(name, percent): &(String, Decimal)| {
            let share = sum.checked_mul(*percent)?.amount().checked_div(base).ok_or(MoneyError::Overflow)?;
            let amount = Money::new(share, sum.currency()).rounded();
            Ok(TaxLine { name: name.clone(), percent: *percent, amount })
        };
        let lines = self.rates.iter().map(line).collect::<Result<_, MoneyError>>()?;
        Ok(Tax { treatment: self.treatment, is_included: self.is_included, lines })
    }
}

impl Tax {
    /// No tax, before it is known whose rates apply.
    pub fn none() -> Self {
        Self { treatment: TaxTreatment::NoRate, is_included: false, lines: Vec::new() }
    }

    /// All of it. Errors: as for [`Money::sum`].
    pub fn total(&self, currency: Currency) -> Result<Money, MoneyError> {
        Ok(Money::sum(currency, self.lines.iter().map(|line| line.amount))?.rounded())
    }
}

/// Whether a sale goes from one country of the European Union to another.
fn is_intra_union(seller_country: Option<&str>, buyer: Taxpayer<'_>) -> bool {
    let is_member = |country: &str| UNION.split_ascii_whitespace().any(|member| member == country);
    match (seller_country, buyer.country) {
        (Some(seller), Some(buyer)) => seller != buyer && is_member(seller) && is_member(buyer),
        (Some(_), None) | (None, _) => false,
    }
}

// Members of the European Union by ISO 3166. Greece is also known as EL, as its VAT numbers begin.
const UNION: &str = "AT BE BG CY CZ DE DK EE EL ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> TaxRate {
        let [name, place, percent] = text.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let replaces_country = place.ends_with('!');
        let place = place.trim_end_matches('!');
        let (country, state) =
            place.split_once('-').map_or((place, None), |(country, state)| (country, Some(state)));
        TaxRate {
            name: name.into(),
            country: country.into(),
            state: state.map(str::to_owned),
            percent: percent.parse().unwrap(),
            replaces_country,
        }
    }

    fn policy() -> TaxPolicy {
        let rates = [
            "VAT DE 19",
            "TVA FR 20",
            "GST IN 18",
            "GST CA 5",
            "PST CA-BC 7",
            "HST CA-ON! 13",
            "Sales US-NY 8.875",
        ];
        TaxPolicy {
            rates: rates.into_iter().map(rate).collect(),
            is_included: false,
            applies_reverse_charge: true,
        }
    }

    #[test]
    fn the_rates_of_a_customer_are_those_of_where_it_is() {
        // seller | buyer's country, state | tax id | exemption | treatment and rates
        for (seller, country, state, has_tax_id, exemption, expected) in [
            ("DE", "DE", "", false, TaxExemption::None, "Taxed VAT 19"),
            ("DE", "DE", "", true, TaxExemption::None, "Taxed VAT 19"), // at home a tax id changes nothing
            ("DE", "FR", "", false, TaxExemption::None, "Taxed TVA 20"), // a consumer
            ("DE", "FR", "", true, TaxExemption::None, "ReverseCharge"), // a business
            ("US", "FR", "", true, TaxExemption::None, "Taxed TVA 20"), // from outside the Union
            ("DE", "IN", "", true, TaxExemption::None, "Taxed GST 18"), // to outside the Union
            ("", "FR", "", true, TaxExemption::None, "Taxed TVA 20"),   // from nowhere in particular
            ("DE", "DE", "", false, TaxExemption::Exempt, "Exempt"),
            ("DE", "DE", "", false, TaxExemption::ReverseCharge, "ReverseCharge"),
            ("DE", "FR", "", true, TaxExemption::Exempt, "Exempt"),
            ("CA", "CA", "", false, TaxExemption::None, "Taxed GST 5"),
            ("CA", "CA", "AB", false, TaxExemption::None, "Taxed GST 5"),
            ("CA", "CA", " bc", false, TaxExemption::None, "Taxed GST 5 PST 7"), // both
            ("CA", "CA", "ON", false, TaxExemption::None, "Taxed HST 13"),       // in place of the country's
            ("CA", "US", "NY", false, TaxExemption::None, "Taxed Sales 8.875"),
            ("CA", "US", "ON", false, TaxExemption::None, "NoRate"), // a state of another country
            ("CA", "US", "", false, TaxExemption::None, "NoRate"),
            ("CA", "", "NY", false, TaxExemption::None, "NoRate"),
        ] {
            let given = |text: &'static str| Some(text).filter(|text| !text.is_empty());
            let buyer = Taxpayer { country: given(country), state: given(state), has_tax_id, exemption };
            let terms = policy().terms(given(seller), buyer);
            let rates = terms.rates.iter().map(|(name, percent)| format!(" {name} {percent}"));
            let found = format!("{:?}{}", terms.treatment, rates.collect::<String>());
            assert_eq!(found, expected, "{seller} to {country} {state}");
        }
        let eager = TaxPolicy { applies_reverse_charge: false, ..policy() };
        let buyer = Taxpayer { country: Some("FR"), has_tax_id: true, ..Taxpayer::default() };
        assert_eq!(eager.terms(Some("DE"), buyer).treatment, TaxTreatment::Taxed, "switched off");
    }

    fn taxes(sum: &str, currency: &str, percents: &[&str], is_included: bool) -> String {
        let rates = percents.iter().map(|percent| (String::from("Tax"), percent.parse().unwrap()));
        let terms = TaxTerms { treatment: TaxTreatment::Taxed, is_included, rates: rates.collect() };
        let sum = Money::new(sum.parse().unwrap(), currency.parse().unwrap());
        let tax = terms.tax_on(sum).unwrap();
        tax.lines.iter().map(|line| line.amount.amount().to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_rate_is_rounded_once() {
        assert_eq!(taxes("1700.00", "USD", &["18"], false), "306.00");
        assert_eq!(taxes("500.00", "USD", &["18"], false), "90.00");
        assert_eq!(taxes("0.05", "USD", &["10"], false), "0.01"); // 0.005, half away from zero
        assert_eq!(taxes("-0.05", "USD", &["10"], false), "-0.01");
        assert_eq!(taxes("0.04", "USD", &["10"], false), "0.00");
        assert_eq!(taxes("10.10", "USD", &["2.5", "2.5"], false), "0.25 0.25"); // 0.2525 each
        assert_eq!(taxes("99", "JPY", &["10"], false), "10");
        assert_eq!(taxes("1.005", "KWD", &["5"], false), "0.050");
        assert_eq!(taxes("100.00", "USD", &[], false), "");
        assert_eq!(taxes("100.00", "USD", &["0"], false), "0.00");
        assert_eq!(taxes("118.00", "USD", &["18"], true), "18.00");
        assert_eq!(taxes("112.00", "CAD", &["5", "7"], true), "5.00 7.00");
        assert_eq!(taxes("10.00", "EUR", &["19"], true), "1.60"); // 1.5966…
    }

    #[test]
    fn a_sum_too_large_is_an_error() {
        let terms = TaxTerms {
            treatment: TaxTreatment::Taxed,
            is_included: false,
            rates: vec![("Tax".into(), Decimal::from(18))],
        };
        let sum = Money::new(Decimal::MAX, Currency::USD);
        assert_eq!(terms.tax_on(sum), Err(MoneyError::Overflow));
    }

    proptest! {
        #[test]
        fn included_tax_is_the_tax_on_what_is_left(cents in -1_000_000_i64..1_000_000, percent in 0_i64..3000) {
            let percent = Decimal::new(percent, 2);
            let rates = vec![("Tax".to_owned(), percent)];
            let terms = |is_included| TaxTerms { treatment: TaxTreatment::Taxed, is_included, rates: rates.clone() };
            let gross = Money::new(Decimal::new(cents, 2), Currency::USD);
            let included = terms(true).tax_on(gross).unwrap().total(Currency::USD).unwrap().amount();
            let net = Money::new(gross.amount() - included, Currency::USD);
            let on_top = terms(false).tax_on(net).unwrap().total(Currency::USD).unwrap().amount();
            // Both are rounded, so that they are a cent apart at most.
            prop_assert!((included - on_top).abs() <= Decimal::new(1, 2), "{included} {on_top}");
        }
    }
}
