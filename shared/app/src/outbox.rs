//! Relaying the outbox: mail to its queue, everything else to the bus. At least once, and never before the
//! change it tells of is stored.

use chrono::Duration;
use domain::{
    id::{Id, OrganizationId},
    outbox::{OutboxEntry, OutboxMessage},
};
use futures::{StreamExt, stream};
use store::{Due, DueKind};

use crate::{AppError, Platform, port::Message};

/// When mail that was queued is queued again, should nothing have come of it. Longer than its queue tries.
const AGAIN_AFTER: Duration = Duration::minutes(30);

/// Entries that are relayed at once.
const RELAYED_AT_ONCE: usize = 16;

/// Relays everything that is due to be told. Returns how much.
pub async fn relay(platform: &Platform) -> Result<usize, AppError> {
    let due = platform.store.list_due(DueKind::Outbox, platform.real_now(), 1_000).await?;
    let relays = due.into_iter().map(|due| relay_due(platform, due)).collect::<Vec<_>>();
    let relayed = stream::iter(relays).buffer_unordered(RELAYED_AT_ONCE);
    Ok(relayed.filter(|is_relayed| std::future::ready(*is_relayed)).count().await)
}

/// Relays one entry, unless that was done since it fell due. `true` if it was done now.
async fn relay_due(platform: &Platform, due: Due) -> bool {
    let (customer, id) = (due.customer, Id::from_uuid(due.id));
    let relayed = async {
        match platform.store.find_outbox_entry(due.organization, customer, id).await? {
            Some(entry) => relay_entry(platform, due.organization, &entry).await.map(|()| true),
            None => Ok(false),
        }
    };
    relayed.await.unwrap_or_else(|error: AppError| {
        tracing::error!(outbox.id = %id, error = ?error, "{id} is not relayed");
        false
    })
}

/// Relays entries that were just written, so that nobody waits for the next sweep. What fails is left to
/// that.
pub(crate) async fn relay_now(platform: &Platform, organization: OrganizationId, entries: &[OutboxEntry]) {
    for entry in entries {
        if let Err(error) = relay_entry(platform, organization, entry).await {
            tracing::warn!(outbox.id = %entry.id, error = ?error, "{} is left to the next sweep", entry.id);
        }
    }
}

async fn relay_entry(
    platform: &Platform,
    organization: OrganizationId,
    entry: &OutboxEntry,
) -> Result<(), AppError> {
    let now = platform.real_now();
    match &entry.message {
        OutboxMessage::EmailInvoice { .. } => {
            let message = Message::DeliverEmail { organization, customer: entry.customer, entry: entry.id };
            platform.queue.send(&[message]).await.into_iter().next().unwrap_or(Ok(()))?;
            platform.store.postpone_outbox_entry(organization, entry, now + AGAIN_AFTER).await?;
        }
        OutboxMessage::InvoiceEvent { .. }
        | OutboxMessage::SubscriptionEvent { .. }
        | OutboxMessage::AlertTriggered(_) => {
            platform.bus.publish(organization, entry).await?;
            platform.store.deliver_outbox_entry(organization, entry, now).await?;
        }
    }
    Ok(())
}
