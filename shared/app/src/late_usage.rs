//! Late usage: the lines that a draft takes over for invoices of its subscription that are final already.

use chrono::{DateTime, Utc};
use domain::{
    id::OrganizationId,
    invoice::LineItem,
    late_usage::{self, Billed},
    organization::LateUsage,
    subscription::{PlansById, Subscription},
};
use futures::future::try_join_all;
use store::StoreError;

use crate::{AppError, Platform, charge_usage};

/// What is late, of usage as it is known now, at the bill at `at`.
///
/// Errors: `cannot_be_billed` with the charge of which it cannot be computed exactly.
pub(crate) async fn lines(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
    plans: &PlansById,
    at: DateTime<Utc>,
) -> Result<Vec<LineItem>, AppError> {
    match platform.store.get_organization(organization).await?.settings.late_usage {
        LateUsage::Ignore => return Ok(Vec::new()),
        LateUsage::BillNext => {}
    }
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        return Ok(Vec::new()); // deleted: what was billed by it stands
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
    let used = late_usage::looked_back_at(billed).into_iter().map(|billed| async move {
        let usage = match billed.is_rated_again() {
            true => charge_usage::of_bill(platform, organization, customer, &billed.bill).await?,
            false => Vec::new(),
        };
        Ok::<_, AppError>((billed, usage))
    });
    let used = try_join_all(used).await?;
    late_usage::lines(&used, subscription.schedule.zone).map_err(AppError::cannot_be_billed)
}
