//! What an organization decides about how it is served.

use auth::Actor;
use domain::{organization::Organization, user::Scope};

use crate::{AppError, Platform};

/// What may be changed. `None` leaves it as it is.
#[derive(Default)]
pub struct SettingsChanges {
    /// The organization's name.
    pub name: Option<String>,
    /// Whether usage of an unknown external id makes the customer.
    pub creates_customers_on_track: Option<bool>,
    /// Whether an invoice is mailed when its grace period ends.
    pub emails_invoices: Option<bool>,
    /// Days from finalizing an invoice to its due date.
    pub payment_terms_days: Option<u32>,
}

/// The organization with its settings.
pub async fn get(platform: &Platform, actor: &Actor) -> Result<Organization, AppError> {
    actor.require(Scope::BillingRead)?;
    Ok(platform.store.get_organization(actor.organization).await?)
}

/// Changes settings.
pub async fn update(
    platform: &Platform,
    actor: &Actor,
    changes: SettingsChanges,
) -> Result<Organization, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut organization = platform.store.get_organization(actor.organization).await?;
    if let Some(name) = changes.name {
        organization.name = name;
    }
    let settings = &mut organization.settings;
    if let Some(value) = changes.creates_customers_on_track {
        settings.creates_customers_on_track = value;
    }
    if let Some(value) = changes.emails_invoices {
        settings.emails_invoices = value;
    }
    if let Some(value) = changes.payment_terms_days {
        settings.payment_terms_days = value;
    }
    platform
        .store
        .update_organization(&platform.change(actor.organization, actor.name()), &organization)
        .await?;
    Ok(organization)
}
