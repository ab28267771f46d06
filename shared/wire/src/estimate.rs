//! Bodies of estimates: what a charge would cost.

use app::{
    AppError,
    estimate::{Estimate, Used},
};
use domain::{currency::Currency, explanation, quantity::Quantity, rating::Rated};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    charge::{ChargeTypeName, NewChargeBody},
    check::Check,
    line::LinePartBody,
    number::{NumberIn, NumberOut, QuantityIn},
    price,
    properties::PropertiesIn,
};

/// What a charge would cost, to be computed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEstimateBody {
    /// What it is in, by ISO 4217.
    currency: String,
    /// The charge, as it would be added to a plan.
    charge: NewChargeBody,
    /// How much would be used; for a fixed charge, in place of its own quantity.
    quantity: Option<QuantityIn>,
    /// What would be used, event by event.
    events: Option<Vec<EstimateEventBody>>,
}

/// An event that would happen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimateEventBody {
    /// How much; as the meter finds it in the properties if not given, and else 1.
    quantity: Option<QuantityIn>,
    /// Values that the meter and filters look at.
    #[serde(default)]
    properties: PropertiesIn,
}

/// What a charge would cost.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimateBody {
    /// What it is in.
    pub currency: String,
    /// What it would cost, rounded to the currency.
    pub amount: NumberOut,
    /// What that is added up from, exactly.
    pub lines: Vec<LinePartBody>,
    /// The same in words and figures, step by step.
    pub explanation: Vec<String>,
}

impl NewEstimateBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Currency, Estimate), AppError> {
        let mut check = Check::default();
        let currency = check.value("currency", self.currency.parse());
        let estimate = match self.charge.charge_type {
            Some(ChargeTypeName::Fixed) => {
                if self.events.is_some() {
                    check.refuse("events", "are for charges of type USAGE alone");
                }
                let quantity =
                    price::amount(&mut check, "quantity", self.quantity.map(|quantity| NumberIn(quantity.0)));
                let price = check.within("charge", |check| self.charge.fixed_price(check));
                price.map(|price| Estimate::Fixed(price, quantity))
            }
            Some(ChargeTypeName::Usage) | None => {
                let used = used(&mut check, self.quantity, self.events);
                let priced = check.within("charge", |check| self.charge.usage_price(check));
                priced.zip(used).map(|((price, meter), used)| Estimate::Usage { price, meter, used })
            }
        };
        check.finish_some(currency.zip(estimate))
    }
}

fn used(
    check: &mut Check,
    quantity: Option<QuantityIn>,
    events: Option<Vec<EstimateEventBody>>,
) -> Option<Used> {
    let mut not_negative = |field: &str, QuantityIn(quantity): QuantityIn| {
        if quantity < Quantity::ZERO {
            check.refuse(field, "must not be negative");
        }
        quantity
    };
    match (quantity, events) {
        (Some(quantity), None) => Some(Used::Quantity(not_negative("quantity", quantity))),
        (None, Some(events)) => {
            let event = |(index, event): (usize, EstimateEventBody)| {
                let field = format!("events[{index}].quantity");
                let quantity = event.quantity.map(|quantity| not_negative(&field, quantity));
                (quantity, event.properties.0)
            };
            Some(Used::Events(events.into_iter().enumerate().map(event).collect()))
        }
        (Some(_), Some(_)) => {
            check.refuse("events", "take the place of quantity: give one of the two");
            None
        }
        (None, None) => {
            check.refuse("quantity", "is required, or events in its place");
            None
        }
    }
}

impl EstimateBody {
    /// The body of what was rated.
    pub fn from_domain(currency: Currency, rated: Rated) -> Self {
        let explanation = explanation::of_parts(&rated.parts, rated.amount);
        Self {
            currency: currency.code().to_owned(),
            amount: NumberOut(rated.amount.rounded().amount()),
            lines: rated.parts.into_iter().map(LinePartBody::from_domain).collect(),
            explanation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charge::tests::fields;

    #[test]
    fn an_estimate_names_its_fields_too() {
        let check = |json: &str, expected: &[&str]| {
            let body = crate::parse::<NewEstimateBody>(json.as_bytes()).unwrap();
            assert_eq!(fields(body.into_domain()), expected, "{json}");
        };
        check(r#"{"currency":"USD","charge":{"unit_price":1},"quantity":5}"#, &[]);
        check(
            r#"{"currency":"XXX","charge":{},"quantity":-5}"#,
            &["currency", "quantity", "charge.unit_price"],
        );
        check(r#"{"currency":"USD","charge":{"unit_price":1}}"#, &["quantity"]);
        check(r#"{"currency":"USD","charge":{"unit_price":1},"quantity":1,"events":[]}"#, &["events"]);
        check(
            r#"{"currency":"USD","charge":{"unit_price":1},"events":[{},{"quantity":-1}]}"#,
            &["events[1].quantity"],
        );
        check(r#"{"currency":"USD","charge":{"type":"FIXED","unit_price":1}}"#, &[]);
        check(r#"{"currency":"USD","charge":{"type":"FIXED","unit_price":1},"events":[]}"#, &["events"]);
    }
}
