//! The audit log: who changed what, when. Each entry is part of the change it tells of.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use domain::id::OrganizationId;
use uuid::Uuid;

use crate::{
    item::Item,
    keys,
    transaction::{Otherwise, Transaction},
};

/// Who changes something, whose, and when.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose things are changed.
    pub organization: OrganizationId,
    /// Who changes them: a user, an API key, or one of our functions.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Names the entry in the audit log. Anything unique.
    pub id: Uuid,
}

impl Transaction {
    /// Logs with this transaction that `change` did `action` to `subject`.
    pub(crate) fn audited(self, change: &Change, action: &'static str, subject: impl Display) -> Self {
        let entry = Item::new(keys::audit(change.organization, change.at, change.id), "audit")
            .text("by", &change.by)
            .text("action", action)
            .display("subject", subject)
            .time("at", change.at);
        self.create(entry, Otherwise::Conflict)
    }
}
