//! Bodies of tax: an organization's rates, and what they come to on an invoice.

use domain::{
    country::Country,
    tax::{TaxExemption, TaxLine, TaxRate, TaxTreatment},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::{NumberIn, NumberOut},
};

/// A rate of tax to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTaxRateBody {
    /// What it is called on invoices; `Tax` if not given.
    name: Option<String>,
    /// The customer's billing country, as two letters of ISO 3166.
    country: String,
    /// The customer's billing state; the whole country if not given.
    state: Option<String>,
    /// In percent: `18` for 18 %.
    rate: NumberIn,
    /// Whether a state's rate stands in for those of its country; else both apply.
    replaces_country_rates: Option<bool>,
}

/// A rate of tax.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxRateBody {
    /// What it is called on invoices.
    pub name: String,
    /// The customer's billing country.
    pub country: String,
    /// The customer's billing state; null for the whole country.
    pub state: Option<String>,
    /// In percent.
    pub rate: NumberOut,
    /// Whether a state's rate stands in for those of its country.
    pub replaces_country_rates: bool,
}

/// What one rate comes to on an invoice.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxLineBody {
    /// What it is called.
    pub name: String,
    /// In percent of the subtotal.
    pub rate: NumberOut,
    /// What it comes to, rounded once.
    pub amount: NumberOut,
}

/// How an invoice is taxed, and why.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaxTreatmentName {
    /// By rates.
    Taxed,
    /// Not at all, since no rate is for where the customer is.
    NoRate,
    /// Not at all, since the customer is exempt.
    Exempt,
    /// The customer owes the tax.
    ReverseCharge,
}

/// What was decided about a customer's tax by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaxExemptName {
    /// The rules apply.
    None,
    /// It pays no tax.
    Exempt,
    /// It owes the tax to its own state.
    Reverse,
}

impl NewTaxRateBody {
    pub(crate) fn into_domain(self, check: &mut Check, index: usize) -> Option<TaxRate> {
        let field = |name: &str| format!("tax_rates[{index}].{name}");
        let name = check.optional_text(&field("name"), self.name, 50);
        let country = check.value(&field("country"), self.country.trim().parse::<Country>());
        let state = check.optional_text(&field("state"), self.state, 100);
        let percent = check.value(&field("rate"), self.rate.decimal());
        if percent.is_some_and(|percent| !(Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(&percent)) {
            check.refuse(field("rate"), "must be between 0 and 100");
        }
        let replaces_country = self.replaces_country_rates.unwrap_or(false);
        if replaces_country && state.is_none() {
            check.refuse(field("replaces_country_rates"), "is for the rate of a state");
        }
        let name = name.unwrap_or_else(|| "Tax".to_owned());
        let country = country?.code().to_owned();
        Some(TaxRate { name, country, state, percent: percent?, replaces_country })
    }
}

impl TaxRateBody {
    pub(crate) fn from_domain(rate: TaxRate) -> Self {
        Self {
            name: rate.name,
            country: rate.country,
            state: rate.state,
            rate: NumberOut(rate.percent),
            replaces_country_rates: rate.replaces_country,
        }
    }
}

impl TaxLineBody {
    pub(crate) fn from_domain(line: &TaxLine) -> Self {
        Self {
            name: line.name.clone(),
            rate: NumberOut(line.percent),
            amount: NumberOut(line.amount.amount()),
        }
    }
}

impl TaxTreatmentName {
    pub(crate) fn from_domain(treatment: TaxTreatment) -> Self {
        match treatment {
            TaxTreatment::Taxed => Self::Taxed,
            TaxTreatment::NoRate => Self::NoRate,
            TaxTreatment::Exempt => Self::Exempt,
            TaxTreatment::ReverseCharge => Self::ReverseCharge,
        }
    }
}

impl TaxExemptName {
    pub(crate) fn from_domain(exemption: TaxExemption) -> Self {
        match exemption {
            TaxExemption::None => Self::None,
            TaxExemption::Exempt => Self::Exempt,
            TaxExemption::ReverseCharge => Self::Reverse,
        }
    }

    pub(crate) fn into_domain(self) -> TaxExemption {
        match self {
            Self::None => TaxExemption::None,
            Self::Exempt => TaxExemption::Exempt,
            Self::Reverse => TaxExemption::ReverseCharge,
        }
    }
}
