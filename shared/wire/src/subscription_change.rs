//! Bodies of changes of a subscription.

use app::{
    AppError,
    change_subscription::{Asked, When},
    preview::PreviewedInvoice,
};
use domain::subscription::Subscription;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check, number::NumberIn, preview::PreviewInvoiceBody, price, subscription::ProrationBody,
};

/// A cancellation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Whether it ends with its current period, rather than at once with a last, prorated invoice; it does
    /// not if not given.
    #[serde(default)]
    cancel_at_period_end: bool,
    /// Why.
    reason: Option<String>,
}

/// A change to another plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePlanBody {
    /// Which plan.
    plan_id: String,
    /// The quantity of its fixed charge; as the plan has it if not given.
    quantity: Option<NumberIn>,
    /// Whether it is changed at the end of the current period, rather than at once; it is not if not given.
    #[serde(default)]
    at_period_end: bool,
}

/// A change of a quantity, as of seats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuantityBody {
    /// How many.
    quantity: NumberIn,
    /// Of which fixed charge, where it is not clear.
    charge_id: Option<String>,
    /// Whether it is changed at the end of the current period, rather than at once; it is not if not given.
    #[serde(default)]
    at_period_end: bool,
}

/// A change to be previewed: one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewChangeBody {
    /// To this plan.
    plan_id: Option<String>,
    /// To this quantity of a fixed charge; of the new plan, if one is given.
    quantity: Option<NumberIn>,
    /// Which fixed charge, where it is not clear.
    charge_id: Option<String>,
    /// It ends.
    cancel: Option<bool>,
    /// It is paused, at once.
    pause: Option<bool>,
    /// It is resumed, at once.
    resume: Option<bool>,
    /// Whether it is changed at the end of the current period, rather than at once; it is not if not given.
    #[serde(default)]
    at_period_end: bool,
}

/// The invoices to come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComingInvoicesBody {
    /// What they are in.
    pub currency: String,
    /// How parts of periods are billed.
    pub proration: ProrationBody,
    /// What would be invoiced.
    pub invoices: Vec<PreviewInvoiceBody>,
}

fn when(at_period_end: bool) -> When {
    if at_period_end { When::AtPeriodEnd } else { When::Now }
}

impl CancelBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, When), AppError> {
        let mut check = Check::default();
        let reason = check.optional_rows("reason", self.reason, 500);
        check.finish((Asked::Cancel(reason), when(self.cancel_at_period_end)))
    }
}

impl ChangePlanBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, When), AppError> {
        let mut check = Check::default();
        let plan = check.value("plan_id", self.plan_id.parse());
        let quantity = price::amount(&mut check, "quantity", self.quantity);
        check.finish_some(plan.map(|plan| (Asked::Plan(plan, quantity), when(self.at_period_end))))
    }
}

impl ChangeQuantityBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, When), AppError> {
        let mut check = Check::default();
        let quantity = price::amount(&mut check, "quantity", Some(self.quantity));
        let charge = self.charge_id.and_then(|id| check.value("charge_id", id.parse()));
        let asked = quantity.map(|quantity| Asked::Quantity(charge, quantity));
        check.finish_some(asked.map(|asked| (asked, when(self.at_period_end))))
    }
}

impl PreviewChangeBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, When), AppError> {
        let at_period_end = self.at_period_end;
        let flags = [
            (self.cancel, Asked::Cancel(None), "cancel"),
            (self.pause, Asked::Pause, "pause"),
            (self.resume, Asked::Resume, "resume"),
        ];
        let mut flags = flags.into_iter().filter(|(flag, ..)| *flag == Some(true));
        let (flag, other) = (flags.next(), flags.next());
        match (self.plan_id, self.quantity, flag) {
            (Some(plan_id), quantity, None) => {
                ChangePlanBody { plan_id, quantity, at_period_end }.into_domain()
            }
            (None, Some(quantity), None) => {
                ChangeQuantityBody { quantity, charge_id: self.charge_id, at_period_end }.into_domain()
            }
            (None, None, Some((_, Asked::Pause | Asked::Resume, field)))
                if other.is_none() && at_period_end =>
            {
                Err(AppError::invalid(
                    "at_period_end",
                    format!("does not go with {field}, which counts at once"),
                ))
            }
            (None, None, Some((_, asked, _))) if other.is_none() => Ok((asked, when(at_period_end))),
            (_, _, Some(_)) | (None, None, None) => Err(AppError::invalid(
                "plan_id",
                "or quantity, cancel, pause or resume: one change is needed",
            )),
        }
    }
}

impl ComingInvoicesBody {
    /// The body of the invoices to come of a subscription.
    pub fn from_domain(subscription: &Subscription, invoices: Vec<PreviewedInvoice>) -> Self {
        Self {
            currency: subscription.currency.code().to_owned(),
            proration: ProrationBody::from_domain(subscription.proration),
            invoices: invoices.into_iter().map(PreviewInvoiceBody::from_domain).collect(),
        }
    }
}
