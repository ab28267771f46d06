//! Late usage: the lines that a draft takes over for invoices of its subscription that are final already.

use chrono::{DateTime, Utc};
use domain::{
    charge_usage::ChargeUsage,
    id::{CustomerId, OrganizationId},
    invoice::Invoice,
    late_usage::{self, Billed, Bills},
    organization::{LateUsage, Settings},
    seen_usage::{BillUsage, LateLines, SeenUsage},
    subscription::{PlansById, Subscription},
    timeline::Bill,
};
use futures::future::try_join_all;
use store::if_there;

use crate::{
    AppError, Platform,
    charge_usage::{BillHeads, of_heads},
};

/// A draft with the lines of its own bill, and what these were rated from.
pub(crate) struct OwnLines<'a> {
    /// The bill.
    pub(crate) bill: &'a Bill,
    /// The draft.
    pub(crate) draft: &'a Invoice,
    /// What was used.
    pub(crate) usage: &'a BillUsage,
}

/// What is late, of usage as it is known now, at the bill at `at`, as the organization has set. Of a draft that exists
/// already, also what later bills have billed of its own period, to be given back.
///
/// Errors: `cannot_be_billed` with the charge of which it cannot be computed exactly.
pub(crate) async fn lines(
    platform: &Platform,
    (organization, settings): (OrganizationId, &Settings),
    (subscription, plans): (&Subscription, &PlansById),
    at: DateTime<Utc>,
    own: Option<OwnLines<'_>>,
) -> Result<LateLines, AppError> {
    if subscription.plans().any(|plan| !plans.contains_key(&plan)) {
        return Ok(LateLines::default()); // deleted: what was billed by it stands
    }
    let customer = subscription.customer;
    let (before, after) = late_usage::bills_around(subscription, plans, at).map_err(AppError::internal)?;
    let after = if own.is_some() { after } else { Vec::new() };
    let after = billed(platform, organization, customer, after).await?.into_iter();
    // A later draft is rated again, and then sees this one.
    let later = after.map(|billed| billed.invoice).filter(|invoice| !invoice.is_draft()).collect::<Vec<_>>();
    if later.iter().any(|invoice| invoice.has_edited_lines) {
        return Ok(LateLines::default()); // whoever wrote them settled all before
    }
    let before = match settings.late_usage {
        LateUsage::Ignore => Vec::new(),
        LateUsage::BillNext => {
            late_usage::looked_back_at(billed(platform, organization, customer, before).await?)
        }
    };
    let invoices = before.iter().map(|billed| &billed.invoice).chain(&later).collect::<Vec<_>>();
    // What was seen before one of them was made again was on lines that no longer count.
    let is_made_again =
        own.iter().map(|own| own.draft).chain(invoices.iter().copied()).any(Invoice::is_made_again);
    let invoices = if is_made_again { &[] } else { invoices.as_slice() };
    let looks = before.iter().map(|billed| look_at(platform, organization, customer, billed, invoices));
    let looks = try_join_all(looks).await?;
    let seen = before
        .iter()
        .zip(&looks)
        .filter_map(|(billed, look)| Some(SeenUsage { invoice: billed.invoice.id, writes: look.writes? }));
    let seen = seen.collect();
    let used = before.into_iter().zip(looks).map(|(billed, look)| (billed, look.usage));
    let own = own.filter(|_| !later.is_empty()).map(|OwnLines { bill, draft, usage }| {
        (Billed { bill: bill.clone(), invoice: draft.clone() }, Some(usage.charges.clone()))
    });
    let used = used.chain(own).collect::<Vec<_>>();
    let lines = late_usage::lines(&used, &later, subscription.schedule.zone);
    Ok(LateLines { lines: lines.map_err(AppError::cannot_be_billed)?, seen })
}

/// Those of some bills that have an invoice, each with the last one that was made of it.
async fn billed(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    bills: Bills,
) -> Result<Vec<Billed>, AppError> {
    // There is none where nothing was due, or the draft was deleted.
    let find = async |id| if_there(platform.store.get_invoice_of(organization, customer, id).await);
    let find = &find;
    let billed = bills.into_iter().map(|(id, bill)| async move {
        let Some(mut invoice) = find(id).await? else { return Ok(None) };
        while let Some(next) = invoice.replaced_by
            && let Some(next) = find(next).await?
        {
            invoice = next;
        }
        Ok::<_, AppError>(Some(Billed { bill, invoice }))
    });
    Ok(try_join_all(billed).await?.into_iter().flatten().collect())
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
