//! Bodies of changes of a subscription.

use app::{
    AppError,
    change_subscription::{Asked, Terms, When},
    preview::PreviewedInvoice,
};
use domain::subscription::Subscription;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::NumberIn,
    preview::PreviewInvoiceBody,
    price,
    price_override::{self, PriceOverrideBody},
    subscription::{ChangeProrationBody, ProrationBody},
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
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
}

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// Whether it begins at the end of the current period, rather than at once; it does not if not given.
    #[serde(default)]
    at_period_end: bool,
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
}

/// The end of a pause. It counts at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
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
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
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
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
}

/// A subscription's own prices, in place of all it has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverridesBody {
    /// Its own prices, in place of the plan's; none to go back to those.
    overrides: Vec<PriceOverrideBody>,
    /// From when on; from now on if not given.
    when: Option<WhenName>,
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
}

/// From when on a change counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenName {
    /// From the end of the current period on.
    #[default]
    PeriodEnd,
    /// From now on, settled by proration.
    Now,
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
    /// To these prices of its own, in place of all it has.
    overrides: Option<Vec<PriceOverrideBody>>,
    /// It ends.
    cancel: Option<bool>,
    /// It is paused.
    pause: Option<bool>,
    /// It is resumed, at once.
    resume: Option<bool>,
    /// Whether it is changed at the end of the current period, rather than at once; it is not if not given.
    #[serde(default)]
    at_period_end: bool,
    /// How this change is settled; as the subscription has it if not given.
    proration: Option<ChangeProrationBody>,
}

/// The invoices to come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComingInvoicesBody {
    /// What they are in.
    pub currency: String,
    /// How the change is settled.
    pub proration: ProrationBody,
    /// What would be invoiced.
    pub invoices: Vec<PreviewInvoiceBody>,
}

fn terms(at_period_end: bool, proration: Option<ChangeProrationBody>) -> Terms {
    let when = if at_period_end { When::AtPeriodEnd } else { When::Now };
    Terms { when, proration: proration.map(ChangeProrationBody::into_domain) }
}

impl CancelBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, Terms), AppError> {
        let mut check = Check::default();
        let reason = check.optional_rows("reason", self.reason, 500);
        check.finish((Asked::Cancel(reason), terms(self.cancel_at_period_end, self.proration)))
    }
}

impl PauseBody {
    /// From when on, and how it is settled.
    pub fn into_domain(self) -> Terms {
        terms(self.at_period_end, self.proration)
    }
}

impl ResumeBody {
    /// From when on, and how it is settled.
    pub fn into_domain(self) -> Terms {
        terms(false, self.proration)
    }
}

impl ChangePlanBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, Terms), AppError> {
        let mut check = Check::default();
        let plan = check.value("plan_id", self.plan_id.parse());
        let quantity = price::amount(&mut check, "quantity", self.quantity);
        check.finish_some(
            plan.map(|plan| (Asked::Plan(plan, quantity), terms(self.at_period_end, self.proration))),
        )
    }
}

impl ChangeQuantityBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, Terms), AppError> {
        let mut check = Check::default();
        let quantity = price::amount(&mut check, "quantity", Some(self.quantity));
        let charge = self.charge_id.and_then(|id| check.value("charge_id", id.parse()));
        let asked = quantity.map(|quantity| Asked::Quantity(charge, quantity));
        check.finish_some(asked.map(|asked| (asked, terms(self.at_period_end, self.proration))))
    }
}

impl WhenName {
    pub(crate) fn into_domain(self) -> When {
        match self {
            Self::PeriodEnd => When::AtPeriodEnd,
            Self::Now => When::Now,
        }
    }
}

impl OverridesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, Terms), AppError> {
        let mut check = Check::default();
        let overrides = price_override::overrides(&mut check, Some(self.overrides));
        let when = self.when.unwrap_or(WhenName::Now).into_domain();
        let proration = self.proration.map(ChangeProrationBody::into_domain);
        check.finish((Asked::Prices(overrides), Terms { when, proration }))
    }
}

impl PreviewChangeBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<(Asked, Terms), AppError> {
        let Self { at_period_end, proration, .. } = self;
        if self.charge_id.is_some() && (self.quantity.is_none() || self.plan_id.is_some()) {
            return Err(AppError::invalid("charge_id", "goes with a quantity of the present plan alone"));
        }
        let flags =
            [(self.cancel, Asked::Cancel(None)), (self.pause, Asked::Pause), (self.resume, Asked::Resume)];
        let mut flags = flags.into_iter().filter(|(flag, _)| *flag == Some(true));
        let (flag, other) = (flags.next(), flags.next());
        if let Some(overrides) = self.overrides {
            if self.plan_id.is_some() || self.quantity.is_some() || flag.is_some() {
                return Err(AppError::invalid(
                    "overrides",
                    "are a change by themselves: one change is needed",
                ));
            }
            let when = Some(if at_period_end { WhenName::PeriodEnd } else { WhenName::Now });
            return OverridesBody { overrides, when, proration }.into_domain();
        }
        match (self.plan_id, self.quantity, flag) {
            (Some(plan_id), quantity, None) => {
                ChangePlanBody { plan_id, quantity, at_period_end, proration }.into_domain()
            }
            (None, Some(quantity), None) => {
                ChangeQuantityBody { quantity, charge_id: self.charge_id, at_period_end, proration }
                    .into_domain()
            }
            (None, None, Some((_, Asked::Resume))) if other.is_none() && at_period_end => {
                Err(AppError::invalid("at_period_end", "does not go with resume, which counts at once"))
            }
            (None, None, Some((_, asked))) if other.is_none() => Ok((asked, terms(at_period_end, proration))),
            (_, _, Some(_)) | (None, None, None) => Err(AppError::invalid(
                "plan_id",
                "or quantity, overrides, cancel, pause or resume: one change is needed",
            )),
        }
    }
}

impl ComingInvoicesBody {
    /// The body of the invoices to come of a subscription after a change. Errors: as for
    /// [`PreviewInvoiceBody::from_domain`].
    pub fn from_domain(
        subscription: &Subscription,
        asked: Terms,
        invoices: Vec<PreviewedInvoice>,
    ) -> Result<Self, AppError> {
        let proration = asked.proration.unwrap_or_default().over(subscription.proration);
        let invoices = invoices.into_iter().map(PreviewInvoiceBody::from_domain);
        Ok(Self {
            currency: subscription.currency.code().to_owned(),
            proration: ProrationBody::from_domain(proration),
            invoices: invoices.collect::<Result<_, _>>()?,
        })
    }
}
