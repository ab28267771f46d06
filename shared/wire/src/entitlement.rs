//! Bodies of entitlements: what plans grant, and what customers may use.

use app::{
    AppError,
    entitlements::{Allowance, Granted},
};
use domain::{
    entitlement::GrantChanges, feature::FeatureType, id::FeatureId, period::BillingInterval,
    property::Property,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    check::Check,
    feature::FeatureTypeName,
    json::given,
    number::{NumberIn, NumberOut},
    plan::IntervalName,
    properties,
    time::TimeOut,
};

/// A feature to be added to a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlanFeatureBody {
    /// Which.
    feature_id: String,
    /// Whether it may be used at all; it may if not given.
    is_enabled: Option<bool>,
    /// How much of it, for a meter; null is without limit.
    usage_limit: Option<NumberIn>,
    /// How often usage begins at 0 again, counted from the billing anchor; null is with each billing period.
    usage_reset_period: Option<IntervalName>,
    /// Whether it may still be used past the limit; it may not if not given.
    is_soft_limit: Option<bool>,
    /// How much of what was left of the limit may be used after the next reset; null is nothing.
    rollover_limit: Option<NumberIn>,
    /// The value of a custom feature: text, a number, or true or false.
    #[schema(value_type = Option<Value>)]
    static_value: Option<Value>,
}

/// A change to what is granted of a feature. What is left out stays as it is, for a subscription as its plan
/// has it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantChangesBody {
    /// Whether it may be used at all.
    is_enabled: Option<bool>,
    /// How much of it, for a meter; null is without limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<NumberIn>)]
    usage_limit: Option<Option<NumberIn>>,
    /// How often usage begins at 0 again, counted from the billing anchor; null is with each billing period.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<IntervalName>)]
    usage_reset_period: Option<Option<IntervalName>>,
    /// Whether it may still be used past the limit.
    is_soft_limit: Option<bool>,
    /// How much of what was left of the limit may be used after the next reset; null is nothing.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<NumberIn>)]
    rollover_limit: Option<Option<NumberIn>>,
    /// The value of a custom feature: text, a number, or true or false.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Value>)]
    static_value: Option<Option<Value>>,
}

/// What a plan or a subscription grants of a feature.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFeatureBody {
    /// Which feature.
    pub feature_id: String,
    /// What people call it.
    pub name: String,
    /// What code calls it.
    pub lookup_key: String,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub feature_type: FeatureTypeName,
    /// The meter that counts it.
    pub meter_id: Option<String>,
    /// Whether it may be used at all.
    pub is_enabled: bool,
    /// How much of it; null is without limit.
    pub usage_limit: Option<NumberOut>,
    /// How often usage begins at 0 again; null is with each billing period.
    pub usage_reset_period: Option<IntervalName>,
    /// Whether it may still be used past the limit.
    pub is_soft_limit: bool,
    /// How much of what was left of the limit may be used after the next reset; null is nothing.
    pub rollover_limit: Option<NumberOut>,
    /// The value of a custom feature.
    #[schema(value_type = Option<Value>)]
    pub static_value: Option<Value>,
    /// Whether a subscription has it otherwise than its plan.
    pub is_overridden: bool,
}

/// What may be used of a feature, and how much was.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntitlementBody {
    /// Which feature.
    pub feature_id: String,
    /// What people call it.
    pub name: String,
    /// What code calls it.
    pub lookup_key: String,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub feature_type: FeatureTypeName,
    /// Whether it, or more of it, may be used now.
    pub allowed: bool,
    /// Whether any subscription grants it.
    pub is_enabled: bool,
    /// How much was used since the last reset; null for what is not counted.
    pub used: Option<NumberOut>,
    /// How much may be used, with what rolled over; null is without limit.
    pub limit: Option<NumberOut>,
    /// How much of it was left before the last reset.
    pub rolled_over: Option<NumberOut>,
    /// What is left of it; null is without limit.
    pub remaining: Option<NumberOut>,
    /// Whether it may be used without limit.
    pub is_unlimited: bool,
    /// Whether it may still be used past the limit.
    pub is_soft_limit: bool,
    /// Since when usage is counted.
    pub period_start: Option<TimeOut>,
    /// When usage begins at 0 again.
    pub resets_at: Option<TimeOut>,
    /// The value of a custom feature.
    #[schema(value_type = Option<Value>)]
    pub static_value: Option<Value>,
    /// The subscriptions that grant it, oldest first.
    pub subscription_ids: Vec<String>,
}

impl NewPlanFeatureBody {
    /// Which feature, and what is granted of it.
    pub fn into_domain(self) -> Result<(FeatureId, GrantChanges), AppError> {
        let mut check = Check::default();
        let feature = check.value("feature_id", self.feature_id.parse());
        let changes = changes(
            &mut check,
            GrantChangesBody {
                is_enabled: self.is_enabled,
                usage_limit: Some(self.usage_limit),
                usage_reset_period: Some(self.usage_reset_period),
                is_soft_limit: self.is_soft_limit,
                rollover_limit: Some(self.rollover_limit),
                static_value: Some(self.static_value),
            },
        );
        check.finish_some(feature.map(|feature| (feature, changes)))
    }
}

impl GrantChangesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<GrantChanges, AppError> {
        let mut check = Check::default();
        let changes = changes(&mut check, self);
        check.finish(changes)
    }
}

fn changes(check: &mut Check, body: GrantChangesBody) -> GrantChanges {
    let mut amount = |field: &str, amount: Option<NumberIn>| {
        let amount = check.value(field, amount?.decimal());
        if amount.is_some_and(|amount| amount < Decimal::ZERO) {
            check.refuse(field, "must not be negative");
        }
        amount
    };
    let limit = body.usage_limit.map(|limit| amount("usage_limit", limit));
    let rollover_max = body.rollover_limit.map(|limit| amount("rollover_limit", limit));
    let value = body.static_value.map(|value| value.and_then(|value| static_value(check, value)));
    GrantChanges {
        is_enabled: body.is_enabled,
        limit,
        resets_every: body.usage_reset_period.map(|unit| unit.map(IntervalName::unit)),
        is_soft: body.is_soft_limit,
        rollover_max,
        value,
    }
}

fn static_value(check: &mut Check, value: Value) -> Option<Property> {
    let property = properties::property(value);
    match &property {
        Property::Null => return None,
        Property::Nested(_) => {
            check.refuse("static_value", "must be text, a number, or true or false");
        }
        Property::Text(text) if text.len() > 1000 => {
            check.refuse("static_value", "must have at most 1000 bytes");
        }
        Property::Text(_) | Property::Number(_) | Property::Bool(_) => {}
    }
    Some(property)
}

impl PlanFeatureBody {
    /// The body of what is granted.
    pub fn from_domain(granted: Granted) -> Self {
        let Granted { feature, grant, is_overridden } = granted;
        Self {
            feature_id: feature.id.to_string(),
            name: feature.name,
            lookup_key: feature.lookup_key,
            feature_type: FeatureTypeName::from_domain(feature.feature_type),
            meter_id: match feature.feature_type {
                FeatureType::Meter { meter } => Some(meter.to_string()),
                FeatureType::Switch | FeatureType::Custom => None,
            },
            is_enabled: grant.is_enabled,
            usage_limit: grant.limit.map(NumberOut),
            usage_reset_period: grant
                .resets_every
                .map(|unit| IntervalName::from_domain(BillingInterval::every(unit))),
            is_soft_limit: grant.is_soft,
            rollover_limit: grant.rollover_max.map(NumberOut),
            static_value: grant.value.as_ref().map(properties::value),
            is_overridden,
        }
    }
}

impl EntitlementBody {
    /// The body of what may be used: `wanted` of it, or anything at all.
    pub fn from_domain(allowance: Allowance, wanted: Option<Decimal>) -> Self {
        let Allowance { feature, entitlement, used, rolled_over } = allowance;
        let is_counted = used.is_some();
        let verdict = entitlement.verdict(used.unwrap_or_default(), rolled_over, wanted);
        let window = entitlement.window.filter(|_| is_counted);
        let limit = if entitlement.is_enabled { entitlement.limit } else { Some(Decimal::ZERO) };
        let limit = limit.map(|limit| limit.saturating_add(rolled_over));
        Self {
            feature_id: feature.id.to_string(),
            feature_type: FeatureTypeName::from_domain(feature.feature_type),
            name: feature.name,
            lookup_key: feature.lookup_key,
            allowed: verdict.is_allowed,
            is_enabled: entitlement.is_enabled,
            used: used.map(NumberOut),
            limit: limit.filter(|_| is_counted).map(NumberOut),
            rolled_over: is_counted.then_some(NumberOut(rolled_over)),
            remaining: verdict.remaining.filter(|_| is_counted).map(NumberOut),
            is_unlimited: is_counted && entitlement.is_enabled && entitlement.limit.is_none(),
            is_soft_limit: entitlement.is_soft,
            period_start: window.map(|window| TimeOut(window.start())),
            resets_at: window.map(|window| TimeOut(window.end())),
            static_value: entitlement.value.as_ref().map(properties::value),
            subscription_ids: entitlement.subscriptions.iter().map(ToString::to_string).collect(),
        }
    }
}
