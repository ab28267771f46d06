//! Test clocks, and what is due by them.
//!
//! Unlike in `gsi2`, what is due is an item of its own, written with the thing that it is about: a clock that
//! finds nothing more to stop for has read that consistently. One that was overtaken by a change of its thing
//! stays until the clock passes it, and changes nothing then.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use domain::{id::OrganizationId, test_clock::TestClock};

use crate::{
    audit::Change,
    client::Store,
    due::{Due, DueKind},
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader, time_text},
    keys,
    transaction::Transaction,
};

/// One thing that is due by an organization's test clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestDue {
    /// What is to be done.
    pub kind: DueKind,
    /// About what, and when.
    pub due: Due,
    /// The version that the thing had.
    version: u64,
}

impl Store {
    /// The clock of an organization; `None` if it is not in test mode.
    pub async fn find_test_clock(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<TestClock>, StoreError> {
        self.get(keys::test_clock(organization)).await?.as_ref().map(clock_from).transpose()
    }

    /// Puts a clock that sets out over the version that was read. Errors: `Conflict` if it was moved meanwhile.
    pub async fn start_test_clock(&self, change: &Change, clock: &TestClock) -> Result<(), StoreError> {
        Transaction::new(self)
            .replace(test_clock_item(change.organization, clock), clock.version)
            .audited(change, "advance test clock", change.organization)
            .commit(self)
            .await
    }

    /// Puts a clock on its way over the version that was read. Errors: `Conflict` if it was moved meanwhile.
    pub async fn move_test_clock(
        &self,
        organization: OrganizationId,
        clock: &TestClock,
    ) -> Result<(), StoreError> {
        self.put_over(&self.core_table, test_clock_item(organization, clock), clock.version).await
    }

    /// What is due first by an organization's test clock, if anything is by `cutoff`. Strongly consistent.
    pub async fn find_first_test_due(
        &self,
        organization: OrganizationId,
        cutoff: DateTime<Utc>,
    ) -> Result<Option<TestDue>, StoreError> {
        let found = self
            .client
            .query()
            .table_name(&self.core_table)
            .consistent_read(true)
            .limit(1)
            // `~` sorts behind the `#` that ends every time.
            .key_condition_expression("pk = :pk AND sk <= :cutoff")
            .expression_attribute_values(":pk", AttributeValue::S(keys::test_due_partition(organization)))
            .expression_attribute_values(":cutoff", AttributeValue::S(format!("{}~", time_text(cutoff))))
            .send()
            .await
            .map_err(unavailable)?;
        let first = found.items.unwrap_or_default().into_iter().next();
        first.map(|item| test_due_from(organization, &item)).transpose()
    }

    /// Forgets what was due, unless its thing became due anew at the same time.
    pub async fn delete_test_due(&self, done: &TestDue) -> Result<(), StoreError> {
        let key = keys::test_due(done.kind, &done.due);
        match Transaction::new(self).delete(key, done.version).commit(self).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn test_clock_item(organization: OrganizationId, clock: &TestClock) -> Item {
    Item::new(keys::test_clock(organization), "test_clock")
        .number("version", clock.version + 1)
        .time("now", clock.now)
        .optional_time("advancing_to", clock.advancing_to)
}

fn clock_from(item: &Attributes) -> Result<TestClock, StoreError> {
    let item = Reader::new("test_clock", item)?;
    Ok(TestClock {
        now: item.time("now")?,
        advancing_to: item.optional_time("advancing_to")?,
        version: item.number("version")?,
    })
}

pub(crate) fn test_due_item(kind: DueKind, due: &Due, version: u64) -> Item {
    Item::new(keys::test_due(kind, due), "test_due")
        .number("version", version)
        .text("kind", kind_text(kind))
        .time("at", due.at)
        .display("customer", due.customer)
        .display("id", due.id)
}

fn test_due_from(organization: OrganizationId, item: &Attributes) -> Result<TestDue, StoreError> {
    let item = Reader::new("test_due", item)?;
    let kind = item.text("kind")?;
    let kinds = [DueKind::PeriodEnd, DueKind::GraceEnd, DueKind::PaymentDue, DueKind::Outbox];
    Ok(TestDue {
        kind: kinds
            .into_iter()
            .find(|known| kind_text(*known) == kind)
            .ok_or_else(|| item.corrupt("kind"))?,
        due: Due {
            at: item.time("at")?,
            organization,
            customer: item.parse("customer")?,
            id: item.parse("id")?,
        },
        version: item.number("version")?,
    })
}

fn kind_text(kind: DueKind) -> &'static str {
    match kind {
        DueKind::PeriodEnd => "period_end",
        DueKind::GraceEnd => "grace_end",
        DueKind::PaymentDue => "payment_due",
        DueKind::Outbox => "outbox",
    }
}
