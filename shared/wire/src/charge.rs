//! Bodies of charges.

use app::{AppError, plans::NewCharge};
use domain::{
    charge::{Charge, FixedPrice, FixedTiming, Price, UsagePrice},
    id::{Id, MeterId, PlanId},
    period::BillingInterval,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::{NumberIn, NumberOut},
    plan::IntervalName,
    price::{self, ChargeModelName, PriceFilterBody},
    price_out::{PriceFilterOutBody, filters_out, pricing},
    priced::{priced, priced_in, priced_out},
    time::TimeOut,
};

/// What a charge prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChargeTypeName {
    /// The same every period.
    Fixed,
    /// By usage.
    Usage,
}

priced_in! {
    /// A charge to be added to a plan.
    pub struct NewChargeBody {
        /// What it prices. Only in an estimate it may be left out, for `USAGE`.
        #[serde(rename = "type")]
        pub(crate) charge_type: Option<ChargeTypeName>,
        /// What the line on the invoice is called.
        display_name: Option<String>,
        /// The meter whose usage is priced. Only in an estimate it may be left out: events are added up.
        meter_id: Option<String>,
        /// How many, for a fixed charge; 1 if not given.
        quantity: Option<NumberIn>,
        /// Whether a fixed charge is billed at the start of what it is for; it is not if not given.
        in_advance: Option<bool>,
        /// Whether a fixed charge is billed once, with the first invoice; it is not if not given.
        one_time: Option<bool>,
        /// How often it is billed; as the plan if not given. Usage is billed at the end of each, with tiers,
        /// included units and limits of its own.
        billing_interval: Option<IntervalName>,
        /// Every how many of those; 1 if not given.
        interval_count: Option<u32>,
        /// Other prices by property. The first that takes an event prices it; the charge itself the rest.
        filters: Option<Vec<PriceFilterBody>>,
    }
}

/// A change to a charge: it can be retired, for good.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeChangesBody {
    /// Only `INACTIVE`.
    #[expect(dead_code, reason = "its type says all there is to say")]
    status: InactiveName,
}

/// The one status a charge can be put into.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum InactiveName {
    /// Not in the plan's prices any more.
    Inactive,
}

priced_out! {
    /// A charge of a plan.
    pub struct ChargeBody {
        /// Its id.
        pub id: String,
        /// The plan it belongs to.
        pub plan_id: String,
        /// What it prices.
        #[serde(rename = "type")]
        pub charge_type: ChargeTypeName,
        /// What the line on the invoice is called.
        pub display_name: String,
        /// `ACTIVE`, or `INACTIVE` for good.
        pub status: &'static str,
        /// The meter whose usage is priced.
        pub meter_id: Option<String>,
        /// How many, for a fixed charge.
        pub quantity: Option<NumberOut>,
        /// Whether a fixed charge is billed at the start of what it is for.
        pub in_advance: Option<bool>,
        /// Whether a fixed charge is billed once, with the first invoice.
        pub one_time: Option<bool>,
        /// How often it is billed; null for as often as the plan.
        pub billing_interval: Option<IntervalName>,
        /// Every how many of those.
        pub interval_count: Option<u32>,
        /// Other prices by property.
        pub filters: Vec<PriceFilterOutBody>,
        /// When it was made.
        pub created_at: TimeOut,
    }
}

impl NewChargeBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<NewCharge, AppError> {
        let mut check = Check::default();
        let display_name = check.optional_text("display_name", self.display_name.clone(), 200);
        if self.charge_type == Some(ChargeTypeName::Usage) && self.meter_id.is_none() {
            check.refuse("meter_id", "is required for a charge of type USAGE");
        }
        let price = match self.charge_type {
            None => {
                check.refuse("type", "is required");
                None
            }
            Some(ChargeTypeName::Fixed) => self.fixed_price(&mut check).map(Price::Fixed),
            Some(ChargeTypeName::Usage) => self.usage_price(&mut check).map(|(price, _)| Price::Usage(price)),
        };
        check.finish_some(price.map(|price| NewCharge { display_name, price }))
    }

    /// The price of a charge of type FIXED.
    pub(crate) fn fixed_price(mut self, check: &mut Check) -> Option<FixedPrice> {
        for (field, is_given) in [("meter_id", self.meter_id.is_some()), ("filters", self.filters.is_some())]
        {
            if is_given {
                check.refuse(field, "is for charges of type USAGE alone");
            }
        }
        let quantity = price::amount(check, "quantity", self.quantity);
        let is_quantity_wrong = self.quantity.is_some() && quantity.is_none();
        let timing = self.timing(check);
        let fields = self.take_price(check, "");
        fields.refuse_usage_fields(check);
        let unit_price = price::required(check, "unit_price", fields.unit_price);
        let included_units = price::amount(check, "included_units", fields.included_units);
        let limits = price::limits(check, "", fields.minimum_amount, fields.maximum_amount);
        if is_quantity_wrong {
            return None;
        }
        Some(FixedPrice {
            unit_price: unit_price?,
            quantity: quantity.unwrap_or(Decimal::ONE),
            included_units: included_units.unwrap_or_default(),
            limits,
            timing: timing?,
        })
    }

    fn timing(&self, check: &mut Check) -> Option<FixedTiming> {
        let interval = self.interval(check)?;
        let is_in_advance = self.in_advance.unwrap_or(false);
        if self.one_time != Some(true) {
            return Some(FixedTiming::Recurring { is_in_advance, interval });
        }
        for (field, is_given) in [("in_advance", is_in_advance), ("billing_interval", interval.is_some())] {
            if is_given {
                check.refuse(field, "does not go with one_time");
            }
        }
        Some(FixedTiming::Once)
    }

    /// How often it is billed, if not as its plan. `None` if that is wrong.
    fn interval(&self, check: &mut Check) -> Option<Option<BillingInterval>> {
        match (self.billing_interval, self.interval_count) {
            (None, None) => Some(None),
            (None, Some(_)) => {
                check.refuse("interval_count", "needs a billing_interval");
                None
            }
            (Some(unit), count) => check.value("interval_count", unit.every(count.unwrap_or(1))).map(Some),
        }
    }

    /// The price of a charge of type USAGE, with a meter that stands for none if none is given.
    pub(crate) fn usage_price(mut self, check: &mut Check) -> Option<(UsagePrice, Option<MeterId>)> {
        for (field, is_given) in [
            ("quantity", self.quantity.is_some()),
            ("in_advance", self.in_advance.is_some()),
            ("one_time", self.one_time.is_some()),
        ] {
            if is_given {
                check.refuse(field, "is for charges of type FIXED alone");
            }
        }
        let meter = self.meter_id.as_ref().map(|text| check.value("meter_id", text.parse::<MeterId>()));
        let interval = self.interval(check);
        let model = self.charge_model.unwrap_or(ChargeModelName::Standard);
        let pricing = self.take_price(check, "").pricing(check, "", model);
        let filters = price::filters(check, self.filters.take(), model);
        let given = meter.flatten();
        let meter = given.unwrap_or_else(|| Id::from_uuid(Default::default()));
        Some((UsagePrice { meter, interval: interval?, pricing: pricing?, filters }, given))
    }
}

impl ChargeBody {
    /// The body of a charge of a plan.
    pub fn from_domain(plan: PlanId, charge: Charge) -> Self {
        let interval = charge.price.interval();
        let fixed = match charge.price {
            Price::Fixed(price) => Some(price),
            Price::Usage(_) => None,
        };
        let meter_id = charge.meter().map(|meter| meter.to_string());
        let timing = fixed.map(|price| match price.timing {
            FixedTiming::Once => (false, true),
            FixedTiming::Recurring { is_in_advance, .. } => (is_in_advance, false),
        });
        priced!(
            &pricing(&charge.price),
            Self {
                id: charge.id.to_string(),
                plan_id: plan.to_string(),
                charge_type: if fixed.is_some() { ChargeTypeName::Fixed } else { ChargeTypeName::Usage },
                status: if charge.retired_in.is_none() { "ACTIVE" } else { "INACTIVE" },
                meter_id,
                quantity: fixed.map(|price| NumberOut(price.quantity)),
                in_advance: timing.map(|(is_in_advance, _)| is_in_advance),
                one_time: timing.map(|(_, is_once)| is_once),
                billing_interval: interval.map(IntervalName::from_domain),
                interval_count: interval.map(|interval| interval.count()),
                filters: filters_out(&charge.price),
                created_at: TimeOut(charge.created_at),
                display_name: charge.display_name,
            }
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn fields<T>(result: Result<T, AppError>) -> Vec<String> {
        match result {
            Ok(_) => Vec::new(),
            Err(AppError::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    fn check(json: &str, expected: &[&str]) {
        let body = crate::parse::<NewChargeBody>(json.as_bytes()).unwrap();
        assert_eq!(fields(body.into_domain()), expected, "{json}");
    }

    fn usage(json: &str, expected: &[&str]) {
        let meter = "01946a5c-9f00-7abc-8def-0123456789ab";
        check(&format!(r#"{{"type":"USAGE","meter_id":"{meter}",{json}}}"#), expected);
    }

    #[test]
    fn a_charge_is_checked_field_by_field() {
        check(r#"{"unit_price":1}"#, &["type"]);
        check(r#"{"type":"USAGE","unit_price":0.005}"#, &["meter_id"]);
        check(r#"{"type":"USAGE","meter_id":"m","unit_price":1}"#, &["meter_id"]);
        usage(r#""unit_price":"0.005""#, &[]);
        usage(r#""unit_price":1,"quantity":2,"one_time":true"#, &["quantity", "one_time"]);
        usage(r#""unit_price":1,"included_units":-1"#, &["included_units"]);
        usage(r#""unit_price":1,"billing_interval":"month","interval_count":3"#, &[]);
        usage(r#""unit_price":1,"interval_count":3"#, &["interval_count"]);
        usage(r#""unit_price":1,"billing_interval":"month","interval_count":0"#, &["interval_count"]);
        usage(r#""unit_price":1,"minimum_amount":2,"maximum_amount":1"#, &["minimum_amount"]);
    }

    #[test]
    fn a_fixed_charge_says_when_it_is_billed() {
        check(r#"{"type":"FIXED","unit_price":99.00,"display_name":"Base"}"#, &[]);
        check(r#"{"type":"FIXED"}"#, &["unit_price"]);
        check(
            r#"{"type":"FIXED","unit_price":-1,"meter_id":"x","tiers":[]}"#,
            &["meter_id", "tiers", "unit_price"],
        );
        check(r#"{"type":"FIXED","unit_price":1,"filters":[],"rate":1}"#, &["filters", "rate"]);
        check(r#"{"type":"FIXED","unit_price":1,"billing_interval":"month","interval_count":3}"#, &[]);
        check(r#"{"type":"FIXED","unit_price":1,"interval_count":3}"#, &["interval_count"]);
        check(
            r#"{"type":"FIXED","unit_price":1,"billing_interval":"day","interval_count":0}"#,
            &["interval_count"],
        );
        check(r#"{"type":"FIXED","unit_price":1,"one_time":true}"#, &[]);
        check(r#"{"type":"FIXED","unit_price":1,"one_time":true,"in_advance":true}"#, &["in_advance"]);
        check(r#"{"type":"FIXED","unit_price":1,"quantity":-1}"#, &["quantity"]);
    }

    #[test]
    fn tiers_are_checked_one_by_one() {
        let tiered = |tiers: &str, expected: &[&str]| {
            usage(&format!(r#""charge_model":"graduated","usage_pricing_rules":{tiers}"#), expected);
        };
        tiered(r#"[{"up_to":10,"unit_price":1},{"up_to":null,"unit_price":0.5,"flat_price":3}]"#, &[]);
        tiered(r#"[{"up_to":10,"flat_price":1},{"unit_price":1}]"#, &[]);
        tiered(r#"[{"up_to":10,"unit_price":1}]"#, &["tiers[0].up_to"]);
        tiered(
            r#"[{"up_to":10,"unit_price":1},{"up_to":5,"unit_price":1},{"unit_price":1}]"#,
            &["tiers[1].up_to"],
        );
        tiered(r#"[{"unit_price":-1}]"#, &["tiers[0].unit_price"]);
        tiered(r#"[{"up_to":1},{"unit_price":1}]"#, &["tiers[0].unit_price"]);
        tiered("[]", &["tiers"]);
        usage(r#""charge_model":"volume""#, &["tiers"]);
        usage(
            r#""charge_model":"volume","tiers":[{"unit_price":1}],"usage_pricing_rules":[{"unit_price":1}]"#,
            &["usage_pricing_rules"],
        );
        usage(
            r#""charge_model":"stairstep","tiers":[{"unit_price":1,"flat_price":2}]"#,
            &["tiers[0].unit_price"],
        );
    }

    #[test]
    fn a_field_of_another_model_is_refused() {
        usage(r#""unit_price":1,"tiers":[{"unit_price":1}]"#, &["tiers"]);
        usage(r#""charge_model":"graduated","tiers":[{"unit_price":1}],"unit_price":1"#, &["unit_price"]);
        usage(r#""charge_model":"package","unit_price":1"#, &["package_size"]);
        usage(r#""charge_model":"package","unit_price":1,"package_size":0"#, &["package_size"]);
        usage(r#""charge_model":"package","unit_price":1,"package_size":9,"free_units":2"#, &[]);
        usage(r#""charge_model":"percentage","unit_price":1"#, &["unit_price", "rate"]);
        usage(r#""charge_model":"percentage","rate":1,"free_units":1.5"#, &["free_units"]);
        usage(r#""charge_model":"percentage","rate":1,"package_size":1"#, &["package_size"]);
        usage(
            r#""charge_model":"percentage","rate":1,"minimum_per_event":2,"maximum_per_event":1"#,
            &["minimum_per_event"],
        );
        usage(
            r#""charge_model":"percentage","rate":1,"free_amount":2,"included_units":1"#,
            &["included_units"],
        );
    }

    #[test]
    fn filters_are_checked_one_by_one() {
        let filtered = |filters: &str, expected: &[&str]| {
            usage(&format!(r#""unit_price":1,"filters":{filters}"#), expected);
        };
        filtered(r#"[{"match":{"model":["a",1,true]},"unit_price":2}]"#, &[]);
        filtered(r#"[{"match":{},"unit_price":2}]"#, &["filters[0].match"]);
        filtered(r#"[{"match":{"model":[]},"unit_price":2}]"#, &["filters[0].match"]);
        filtered(r#"[{"match":{"model":["a"]}}]"#, &["filters[0].unit_price"]);
        filtered(
            r#"[{"match":{"model":["a"]},"unit_price":2},{"match":{"m":["a"]},"charge_model":"volume","tiers":[{"up_to":1,"unit_price":1}]}]"#,
            &["filters[1].tiers[0].up_to"],
        );
    }
}
