//! Sweeps: once a minute, whatever fell due is done. A missed sweep is made up by the next; sweeping twice
//! changes nothing.

use std::collections::BTreeMap;

use domain::id::{Id, OrganizationId};
use futures::{StreamExt, stream};
use store::{Due, DueKind};
use tokio::sync::mpsc;

use crate::{
    AppError, Platform,
    finalize_invoice::{finalize_due, rate_due, settle_due},
    overdue,
    port::Message,
    watch_alerts,
};

/// How much of each shard one look takes.
const LIMIT: i32 = 1_000;

/// Drafts of one organization that are rated at once. Each is some reads, and waits more than it works.
const RATED_AT_ONCE: usize = 8;

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
    let organizations =
        by_organization.into_iter().map(|(organization, due)| finalize_all(platform, organization, due));
    let finalized = futures::future::join_all(organizations).await.into_iter().sum();
    mark_overdue(platform).await?;
    if let Err(error) = watch_alerts::sweep(platform).await {
        tracing::error!(error = ?error, "alerts are left to the next sweep");
    }
    crate::outbox::relay(platform).await?;
    Ok(finalized)
}

/// Finalizes drafts of one organization, whose numbers they take one after the other. While one takes its number,
/// the next ones are rated. Returns how many were finalized.
async fn finalize_all(platform: &Platform, organization: OrganizationId, due: Vec<Due>) -> usize {
    let (sender, mut receiver) = mpsc::channel(RATED_AT_ONCE);
    let rating = async move {
        let rated = due.into_iter().map(|due| async move {
            let (customer, id) = (due.customer, Id::from_uuid(due.id));
            (customer, id, rate_due(platform, organization, customer, id).await)
        });
        let mut rated = stream::iter(rated.collect::<Vec<_>>()).buffered(RATED_AT_ONCE);
        while let Some(rated) = rated.next().await {
            if sender.send(rated).await.is_err() {
                return; // nobody takes them any more
            }
        }
    };
    let numbering = async {
        let mut finalized = 0;
        while let Some((customer, id, rated)) = receiver.recv().await {
            let outcome = match rated {
                Ok(None) => Ok(false),
                Ok(Some(rated)) => settle_due(platform, organization, rated).await,
                Err(error) => Err(error),
            };
            let outcome = match outcome {
                Err(error) if error.is_changed_meanwhile() => {
                    finalize_due(platform, organization, customer, id).await
                }
                other => other,
            };
            match outcome {
                Ok(now) => finalized += usize::from(now),
                Err(error) => {
                    tracing::error!(invoice.id = %id, error = ?error, "invoice {id} is not finalized");
                }
            }
        }
        finalized
    };
    futures::join!(rating, numbering).1
}
