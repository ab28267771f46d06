//! Relaying the outbox: mail to its queue, everything else to the bus. At least once, and never before the
//! change it tells of is stored.

use std::collections::BTreeMap;

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

/// Customers whose entries are relayed at once.
const CUSTOMERS_AT_ONCE: usize = 16;

/// Relays everything that is due to be told. Returns how much.
pub async fn relay(platform: &Platform) -> Result<usize, AppError> {
    let due = platform.store.list_due(DueKind::Outbox, platform.real_now(), 1_000).await?;
    let mut by_customer = BTreeMap::<_, Vec<_>>::new();
    for due in due {
        by_customer.entry((due.organization, due.customer)).or_default().push(due);
    }
    let relays = by_customer.into_values().map(|due| relay_in_order(platform, due)).collect::<Vec<_>>();
    Ok(stream::iter(relays).buffer_unordered(CUSTOMERS_AT_ONCE).fold(0, async |all, one| all + one).await)
}

/// Relays what is to be told of one customer, one after the other: nobody hears of the end before the beginning.
async fn relay_in_order(platform: &Platform, due: Vec<Due>) -> usize {
    let mut relayed = 0;
    for due in due {
        relayed += usize::from(relay_due(platform, due).await);
    }
    relayed
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
        | OutboxMessage::OneOffEvent { .. }
        | OutboxMessage::AlertTriggered(_) => {
            platform.bus.publish(organization, entry).await?;
            platform.store.deliver_outbox_entry(organization, entry, now).await?;
        }
    }
    Ok(())
}
