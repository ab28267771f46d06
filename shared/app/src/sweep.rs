//! Sweeps: once a minute, whatever fell due is done. A missed sweep is made up by the next; sweeping twice
//! changes nothing.

use std::collections::BTreeMap;

use domain::id::Id;
use store::DueKind;

use crate::{AppError, Platform, finalize_invoice::finalize_due, overdue, port::Message, watch_alerts};

/// How much of each shard one look takes.
const LIMIT: i32 = 1_000;

/// Hands every subscription whose period ended to the queue. Returns how many.
pub async fn close_periods(platform: &Platform) -> Result<usize, AppError> {
    let due = platform.store.list_due(DueKind::PeriodEnd, platform.real_now(), LIMIT).await?;
    let messages = due
        .iter()
        .map(|due| Message::ClosePeriod {
            organization: due.organization,
            subscription: Id::from_uuid(due.id),
        })
        .collect::<Vec<_>>();
    // One that the queue did not take is found again by the next sweep.
    for refused in platform.queue.send(&messages).await.into_iter().filter_map(Result::err) {
        tracing::error!(error = ?refused, "a period to be closed was not queued");
    }
    Ok(messages.len())
}

/// Marks every invoice of a subscription that is not paid in time.
async fn mark_overdue(platform: &Platform) -> Result<(), AppError> {
    for due in platform.store.list_due(DueKind::PaymentDue, platform.real_now(), LIMIT).await? {
        let id = Id::from_uuid(due.id);
        if let Err(error) = overdue::mark(platform, due.organization, due.customer, id).await {
            tracing::error!(invoice.id = %id, error = ?error, "invoice {id} is not marked past due");
        }
    }
    Ok(())
}

/// Finalizes every draft whose grace period ended, looks at alerts, and relays what is to be told. Returns how many drafts
/// were finalized.
pub async fn finalize_invoices(platform: &Platform) -> Result<usize, AppError> {
    let due = platform.store.list_due(DueKind::GraceEnd, platform.real_now(), LIMIT).await?;
    let mut by_organization = BTreeMap::<_, Vec<_>>::new();
    for due in due {
        by_organization.entry(due.organization).or_default().push(due);
    }
    // An organization's invoices take its numbers one after the other; organizations do not meet.
    let organizations = by_organization.into_iter().map(|(organization, due)| async move {
        let mut finalized = 0;
        for due in due {
            match finalize_due(platform, organization, due.customer, Id::from_uuid(due.id)).await {
                Ok(now) => finalized += usize::from(now),
                Err(error) => {
                    tracing::error!(invoice.id = %due.id, error = ?error, "invoice {} is not finalized", due.id);
                }
            }
        }
        finalized
    });
    let finalized = futures::future::join_all(organizations).await.into_iter().sum();
    mark_overdue(platform).await?;
    if let Err(error) = watch_alerts::sweep(platform).await {
        tracing::error!(error = ?error, "alerts are left to the next sweep");
    }
    crate::outbox::relay(platform).await?;
    Ok(finalized)
}
