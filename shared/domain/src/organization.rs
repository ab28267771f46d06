//! Organizations: who bills with us.

use chrono::{DateTime, Utc};

use crate::id::OrganizationId;

/// An organization and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, as on its invoices.
    pub name: String,
    /// What it has decided.
    pub settings: Settings,
    /// When it signed up.
    pub created_at: DateTime<Utc>,
    /// Counts the changes; writes are conditional on it.
    pub version: u64,
}

/// What an organization decides about how it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether usage of an unknown external id makes the customer. Otherwise it is refused.
    pub creates_customers_on_track: bool,
    /// Whether an invoice is mailed when its grace period ends.
    pub emails_invoices: bool,
    /// Days from finalizing an invoice to its due date.
    pub payment_terms_days: u32,
    /// Where replies to its e-mails go.
    pub email: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { creates_customers_on_track: true, emails_invoices: true, payment_terms_days: 30, email: None }
    }
}
