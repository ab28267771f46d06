//! What an organization decides about how it is served.

use std::collections::BTreeMap;

use auth::Actor;
use chrono_tz::Tz;
use domain::{
    customer::Address,
    organization::{BankField, Branding, LateUsage, Organization, ZeroInvoices},
    proration::ProrationChoice,
    tax::TaxRate,
    test_clock::Mode,
    user::Scope,
};

use crate::{AppError, Platform};

/// What may be changed. `None` leaves it as it is; an inner `None` takes it away.
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
    /// Where replies to its e-mails go.
    pub email: Option<Option<String>>,
    /// Where it has its seat.
    pub address: Option<Address>,
    /// Its number for VAT, GST or the like.
    pub tax_id: Option<Option<String>>,
    /// Its rates of tax: all of them.
    pub tax_rates: Option<Vec<TaxRate>>,
    /// Whether prices contain the tax already.
    pub prices_include_tax: Option<bool>,
    /// Whether businesses in another country of the European Union owe the tax themselves.
    pub applies_reverse_charge: Option<bool>,
    /// What becomes of drafts that come to nothing.
    pub zero_invoices: Option<ZeroInvoices>,
    /// What becomes of usage that comes after the invoice of its period was final.
    pub late_usage: Option<LateUsage>,
    /// Whose midnights and months count, where a subscription does not say.
    pub zone: Option<Tz>,
    /// How parts of intervals are billed, where a subscription does not say.
    pub proration: Option<ProrationChoice>,
    /// A note on every invoice.
    pub invoice_notes: Option<Option<String>>,
    /// How it looks.
    pub branding: Option<Branding>,
    /// Where it is paid by transfer, in the clear: all of it.
    pub bank_details: Option<BTreeMap<BankField, String>>,
}

/// An organization with its bank details in the clear.
pub struct OpenOrganization {
    /// The organization.
    pub organization: Organization,
    /// Where it is paid by transfer.
    pub bank_details: Vec<(BankField, String)>,
    /// What its time follows.
    pub mode: Mode,
}

/// The organization with its settings.
pub async fn get(platform: &Platform, actor: &Actor) -> Result<OpenOrganization, AppError> {
    actor.require(Scope::BillingRead)?;
    let organization = platform.store.get_organization(actor.organization).await?;
    let bank_details = open_bank_details(platform, &organization).await?;
    Ok(OpenOrganization { organization, bank_details, mode: platform.mode() })
}

/// Changes settings.
pub async fn update(
    platform: &Platform,
    actor: &Actor,
    changes: SettingsChanges,
) -> Result<OpenOrganization, AppError> {
    actor.require(Scope::BillingWrite)?;
    let mut organization = platform.store.get_organization(actor.organization).await?;
    set(&mut organization.name, changes.name);
    let settings = &mut organization.settings;
    set(&mut settings.creates_customers_on_track, changes.creates_customers_on_track);
    set(&mut settings.emails_invoices, changes.emails_invoices);
    set(&mut settings.payment_terms_days, changes.payment_terms_days);
    set(&mut settings.email, changes.email);
    set(&mut settings.address, changes.address);
    set(&mut settings.tax_id, changes.tax_id);
    set(&mut settings.tax.rates, changes.tax_rates);
    set(&mut settings.tax.is_included, changes.prices_include_tax);
    set(&mut settings.tax.applies_reverse_charge, changes.applies_reverse_charge);
    set(&mut settings.zero_invoices, changes.zero_invoices);
    set(&mut settings.late_usage, changes.late_usage);
    set(&mut settings.zone, changes.zone);
    let proration = changes.proration.map(|choice| choice.over(settings.proration));
    set(&mut settings.proration, proration);
    set(&mut settings.invoice_notes, changes.invoice_notes);
    set(&mut settings.branding, changes.branding);
    if let Some(details) = changes.bank_details {
        let key = platform.field_key(actor.organization).await?;
        let seal = |(field, value): (BankField, String)| (field, key.seal(&bank_field_place(field), &value));
        settings.bank_details = details.into_iter().map(seal).collect();
    }
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_organization(&change, &organization).await?;
    let bank_details = open_bank_details(platform, &organization).await?;
    Ok(OpenOrganization { organization, bank_details, mode: platform.mode() })
}

fn set<T>(value: &mut T, change: Option<T>) {
    if let Some(change) = change {
        *value = change;
    }
}

/// Where an organization is paid by transfer, in the order it is shown in.
pub(crate) async fn open_bank_details(
    platform: &Platform,
    organization: &Organization,
) -> Result<Vec<(BankField, String)>, AppError> {
    let sealed = &organization.settings.bank_details;
    if sealed.is_empty() {
        return Ok(Vec::new());
    }
    let key = platform.field_key(organization.id).await?;
    let open = |field: BankField| {
        let sealed = sealed.get(&field)?;
        Some(key.open(&bank_field_place(field), sealed).map(|value| (field, value)))
    };
    BankField::ALL.into_iter().filter_map(open).collect::<Result<_, _>>().map_err(AppError::internal)
}

fn bank_field_place(field: BankField) -> String {
    format!("organization/bank_details/{}", field.name())
}
