//! Late usage: the lines that a draft takes over for invoices of its subscription that are final already.

use chrono::{DateTime, Utc};
use domain::{
    charge_usage::ChargeUsage,
    id::{CustomerId, OrganizationId},
    invoice::Invoice,
    late_usage::{self, Billed},
    organization::{LateUsage, Settings},
    seen_usage::{LateLines, SeenUsage},
    subscription::{PlansById, Subscription},
};
use futures::future::try_join_all;
use store::StoreError;

use crate::{
    AppError, Platform,
    charge_usage::{BillHeads, of_heads},
};

/// What is late, of usage as it is known now, at the bill at `at`, as the organization has set.
///
/// Errors: `cannot_be_billed` with the charge of which it cannot be computed exactly.
pub(crate) async fn lines(
    platform: &Platform,
    (organization, settings): (OrganizationId, &Settings),
    subscription: &Subscription,
    plans: &PlansById,
    at: DateTime<Utc>,
) -> Result<LateLines, AppError> {
    match settings.late_usage {
        LateUsage::Ignore => return Ok(LateLines::default()),
        LateUsage::BillNext => {}
    }
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        return Ok(LateLines::default()); // deleted: what was billed by it stands
    }
    let customer = subscription.customer;
    let bills = late_usage::bills_before(subscription, plans, at).map_err(AppError::internal)?;
    let billed = bills.into_iter().map(|(id, bill)| async move {
        match platform.store.get_invoice_of(organization, customer, id).await {
            Ok(invoice) => Ok(Some(Billed { bill, invoice })),
            Err(StoreError::NotFound(_)) => Ok(None), // nothing was due, or the draft was deleted
            Err(error) => Err(AppError::from(error)),
        }
    });
    let billed = try_join_all(billed).await?.into_iter().flatten().collect();
    let billed = late_usage::looked_back_at(billed);
    let invoices = &billed.iter().map(|billed| &billed.invoice).collect::<Vec<_>>();
    let looks = billed.iter().map(|billed| look_at(platform, organization, customer, billed, invoices));
    let looks = try_join_all(looks).await?;
    let seen = billed
        .iter()
        .zip(&looks)
        .filter_map(|(billed, look)| Some(SeenUsage { invoice: billed.invoice.id, writes: look.writes? }));
    let seen = seen.collect();
    let used = billed.into_iter().zip(looks).map(|(billed, look)| (billed, look.usage)).collect::<Vec<_>>();
    let lines = late_usage::lines(&used, subscription.schedule.zone).map_err(AppError::cannot_be_billed)?;
    Ok(LateLines { lines, seen })
}

/// What was found of an earlier bill.
#[derive(Default)]
struct Look {
    /// What was used of its charges, if that is to be held against what was billed.
    usage: Option<Vec<ChargeUsage>>,
    /// How often its heads were written.
    writes: Option<u64>,
}

/// Looks at an earlier bill: at its heads, and only if these changed since one of `invoices` at what was used.
async fn look_at(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    billed: &Billed,
    invoices: &[&Invoice],
) -> Result<Look, AppError> {
    if !billed.is_rated_again() {
        return Ok(Look::default());
    }
    let heads = BillHeads::read(platform, organization, customer, &billed.bill).await?;
    let writes = heads.writes();
    if late_usage::is_seen(billed, invoices.iter().copied(), writes) {
        return Ok(Look { usage: None, writes: Some(writes) });
    }
    let used = of_heads(platform, &billed.bill, &heads).await?;
    Ok(Look { usage: Some(used.charges), writes: used.writes })
}
