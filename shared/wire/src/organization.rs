//! Bodies of an organization and its settings.

use app::{AppError, settings::SettingsChanges};
use domain::organization::Organization;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{check::Check, time::TimeOut};

/// An organization with its settings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationBody {
    /// Its id.
    pub id: String,
    /// Its name, as on its invoices.
    pub name: String,
    /// Whether usage of an unknown external id makes the customer.
    pub create_customers_on_track: bool,
    /// Whether an invoice is mailed when its grace period ends.
    pub email_invoices: bool,
    /// Days from finalizing an invoice to its due date.
    pub payment_terms_days: u32,
    /// When it signed up.
    pub created_at: TimeOut,
}

/// Changes to an organization. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChangesBody {
    /// Its name, as on its invoices.
    name: Option<String>,
    /// Whether usage of an unknown external id makes the customer.
    create_customers_on_track: Option<bool>,
    /// Whether an invoice is mailed when its grace period ends.
    email_invoices: Option<bool>,
    /// Days from finalizing an invoice to its due date, at most 365.
    payment_terms_days: Option<u32>,
}

impl OrganizationBody {
    /// The body of an organization.
    pub fn from_domain(organization: Organization) -> Self {
        Self {
            id: organization.id.to_string(),
            name: organization.name,
            create_customers_on_track: organization.settings.creates_customers_on_track,
            email_invoices: organization.settings.emails_invoices,
            payment_terms_days: organization.settings.payment_terms_days,
            created_at: TimeOut(organization.created_at),
        }
    }
}

impl OrganizationChangesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<SettingsChanges, AppError> {
        let mut check = Check::default();
        let name = self.name.map(|name| check.text("name", name, 200));
        if self.payment_terms_days.is_some_and(|days| days > 365) {
            check.refuse("payment_terms_days", "must be at most 365");
        }
        check.finish(SettingsChanges {
            name,
            creates_customers_on_track: self.create_customers_on_track,
            emails_invoices: self.email_invoices,
            payment_terms_days: self.payment_terms_days,
        })
    }
}
