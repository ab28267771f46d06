//! Bodies of an organization and its settings.

use std::collections::BTreeMap;

use app::{
    AppError,
    settings::{OpenOrganization, SettingsChanges},
};
use domain::{
    customer::Address,
    organization::{BankField, Branding, LateUsage, ZeroInvoices},
    tax::TAX_RATES_MAX,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    json::given,
    subscription::{ChangeProrationBody, ProrationBody, zone},
    tax::{NewTaxRateBody, TaxRateBody},
    test_clock::ModeName,
    time::TimeOut,
};

/// An organization with its settings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationBody {
    /// Its id.
    pub id: String,
    /// Its name, as on its invoices.
    pub name: String,
    /// What its time follows: the real time, or its test clock.
    pub mode: ModeName,
    /// Whether usage of an unknown external id makes the customer.
    pub create_customers_on_track: bool,
    /// Whether an invoice is mailed when its grace period ends.
    pub email_invoices: bool,
    /// Days from finalizing an invoice to its due date.
    pub payment_terms_days: u32,
    /// Where replies to its e-mails go.
    pub email: Option<String>,
    /// Where it has its seat.
    pub address: AddressBody,
    /// Its number for VAT, GST or the like.
    pub tax_id: Option<String>,
    /// Its rates of tax.
    pub tax_rates: Vec<TaxRateBody>,
    /// Whether prices contain the tax already.
    pub prices_include_tax: bool,
    /// Whether businesses in another country of the European Union owe the tax themselves.
    pub reverse_charge: bool,
    /// What becomes of a subscription's draft that comes to nothing.
    pub zero_invoices: ZeroInvoicesName,
    /// What becomes of usage that comes after the invoice of its period was final.
    pub late_usage: LateUsageName,
    /// Whose midnights and months count, where a subscription does not say.
    pub time_zone: &'static str,
    /// How parts of periods are billed, where a subscription does not say.
    pub proration: ProrationBody,
    /// A note on every invoice.
    pub invoice_notes: Option<String>,
    /// How it looks to its customers.
    pub branding: BrandingBody,
    /// Where it is paid by transfer.
    pub bank_details: BankDetailsBody,
    /// When it signed up.
    pub created_at: TimeOut,
}

/// Changes to an organization. What is left out stays as it is; null takes away.
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
    /// Where replies to its e-mails go.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// Where it has its seat: all of it. The country decides on reverse charge.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<AddressBody>)]
    address: Option<Option<AddressBody>>,
    /// Its number for VAT, GST or the like.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    tax_id: Option<Option<String>>,
    /// Its rates of tax: all of them.
    tax_rates: Option<Vec<NewTaxRateBody>>,
    /// Whether prices contain the tax already; else it comes on top.
    prices_include_tax: Option<bool>,
    /// Whether businesses in another country of the European Union owe the tax themselves.
    reverse_charge: Option<bool>,
    /// What becomes of a subscription's draft that comes to nothing.
    zero_invoices: Option<ZeroInvoicesName>,
    /// What becomes of usage that comes after the invoice of its period was final.
    late_usage: Option<LateUsageName>,
    /// Whose midnights and months count, as `Europe/Berlin`, in subscriptions to come that do not say.
    time_zone: Option<String>,
    /// How parts of periods are billed, in subscriptions to come that do not say.
    proration: Option<ChangeProrationBody>,
    /// A note on every invoice.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    invoice_notes: Option<Option<String>>,
    /// How it looks to its customers: all of it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BrandingBody>)]
    branding: Option<Option<BrandingBody>>,
    /// Where it is paid by transfer: all of it. Kept encrypted.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BankDetailsBody>)]
    bank_details: Option<Option<BankDetailsBody>>,
}

/// What becomes of a subscription's draft that comes to nothing when its grace period ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ZeroInvoicesName {
    /// It is finalized like any other, and is paid at once.
    Create,
    /// It is deleted, and takes no number.
    Skip,
}

/// What becomes of usage that comes after the invoice of its period was final.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LateUsageName {
    /// It is billed on the subscription's next invoice, as a line that names its period.
    BillNext,
    /// It is counted, and never billed.
    Ignore,
}

/// A postal address.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressBody {
    /// Street and number.
    pub line1: Option<String>,
    /// What does not fit there.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State, province or region.
    pub state: Option<String>,
    /// Country, as two letters of ISO 3166.
    pub country: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
}

/// How an organization looks to its customers.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BrandingBody {
    /// Where its logo is, by https.
    pub logo_url: Option<String>,
    /// Its color, as `#0f5f5c`.
    pub color: Option<String>,
    /// Its website, by https.
    pub website: Option<String>,
}

/// Where an organization is paid by transfer.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BankDetailsBody {
    /// Whose account it is.
    pub account_holder: Option<String>,
    /// The bank.
    pub bank_name: Option<String>,
    /// The number of the account.
    pub account_number: Option<String>,
    /// The international number of the account.
    pub iban: Option<String>,
    /// The code of the bank for transfers from abroad.
    pub swift_code: Option<String>,
    /// The code of the bank in the United States.
    pub routing_number: Option<String>,
    /// The code of the bank in the United Kingdom.
    pub sort_code: Option<String>,
    /// The code of the bank in India.
    pub ifsc_code: Option<String>,
    /// Whatever else helps.
    pub instructions: Option<String>,
}

impl OrganizationBody {
    /// The body of an organization.
    pub fn from_domain(open: OpenOrganization) -> Self {
        let OpenOrganization { organization, bank_details, mode } = open;
        let settings = organization.settings;
        Self {
            id: organization.id.to_string(),
            name: organization.name,
            mode: ModeName::from_domain(mode),
            create_customers_on_track: settings.creates_customers_on_track,
            email_invoices: settings.emails_invoices,
            payment_terms_days: settings.payment_terms_days,
            email: settings.email,
            address: AddressBody::from_domain(settings.address),
            tax_id: settings.tax_id,
            tax_rates: settings.tax.rates.into_iter().map(TaxRateBody::from_domain).collect(),
            prices_include_tax: settings.tax.is_included,
            reverse_charge: settings.tax.applies_reverse_charge,
            zero_invoices: match settings.zero_invoices {
                ZeroInvoices::Create => ZeroInvoicesName::Create,
                ZeroInvoices::Skip => ZeroInvoicesName::Skip,
            },
            late_usage: match settings.late_usage {
                LateUsage::BillNext => LateUsageName::BillNext,
                LateUsage::Ignore => LateUsageName::Ignore,
            },
            time_zone: settings.zone.name(),
            proration: ProrationBody::from_domain(settings.proration),
            invoice_notes: settings.invoice_notes,
            branding: BrandingBody::from_domain(settings.branding),
            bank_details: BankDetailsBody::from_domain(bank_details),
            created_at: TimeOut(organization.created_at),
        }
    }
}

impl OrganizationChangesBody {
    /// What was asked for.
    pub fn into_domain(self) -> Result<SettingsChanges, AppError> {
        let mut check = Check::default();
        if self.payment_terms_days.is_some_and(|days| days > 365) {
            check.refuse("payment_terms_days", "must be at most 365");
        }
        if self.tax_rates.as_ref().is_some_and(|rates| rates.len() > TAX_RATES_MAX) {
            check.refuse("tax_rates", format!("must be at most {TAX_RATES_MAX}"));
        }
        let mut tax_rates = |rates: Vec<NewTaxRateBody>| {
            let rates = rates.into_iter().enumerate();
            rates.filter_map(|(index, rate)| rate.into_domain(&mut check, index)).collect()
        };
        let tax_rates = self.tax_rates.map(&mut tax_rates);
        let changes = SettingsChanges {
            name: self.name.map(|name| check.text("name", name, 200)),
            creates_customers_on_track: self.create_customers_on_track,
            emails_invoices: self.email_invoices,
            payment_terms_days: self.payment_terms_days,
            email: self.email.map(|email| {
                let email = email.filter(|email| !email.trim().is_empty());
                email.map(|email| check.email("email", email))
            }),
            address: self.address.map(|address| address.unwrap_or_default().into_domain(&mut check)),
            tax_id: self.tax_id.map(|tax_id| check.optional_text("tax_id", tax_id, 50)),
            tax_rates,
            prices_include_tax: self.prices_include_tax,
            applies_reverse_charge: self.reverse_charge,
            zero_invoices: self.zero_invoices.map(|zero_invoices| match zero_invoices {
                ZeroInvoicesName::Create => ZeroInvoices::Create,
                ZeroInvoicesName::Skip => ZeroInvoices::Skip,
            }),
            late_usage: self.late_usage.map(|late_usage| match late_usage {
                LateUsageName::BillNext => LateUsage::BillNext,
                LateUsageName::Ignore => LateUsage::Ignore,
            }),
            zone: self.time_zone.and_then(|name| zone(&mut check, &name)),
            proration: self.proration.map(ChangeProrationBody::into_domain),
            invoice_notes: self.invoice_notes.map(|notes| check.optional_rows("invoice_notes", notes, 2000)),
            branding: self.branding.map(|branding| branding.unwrap_or_default().into_domain(&mut check)),
            bank_details: self
                .bank_details
                .map(|details| details.unwrap_or_default().into_domain(&mut check)),
        };
        check.finish(changes)
    }
}

impl AddressBody {
    /// The body of an address.
    pub(crate) fn from_domain(address: Address) -> Self {
        Self {
            line1: address.line1,
            line2: address.line2,
            city: address.city,
            state: address.state,
            country: address.country,
            postal_code: address.postal_code,
        }
    }

    fn into_domain(self, check: &mut Check) -> Address {
        Address {
            line1: check.optional_text("address.line1", self.line1, 200),
            line2: check.optional_text("address.line2", self.line2, 200),
            city: check.optional_text("address.city", self.city, 100),
            state: check.optional_text("address.state", self.state, 100),
            country: check.optional_country("address.country", self.country),
            postal_code: check.optional_text("address.postal_code", self.postal_code, 20),
        }
    }
}

impl BrandingBody {
    /// The body of a branding.
    pub(crate) fn from_domain(branding: Branding) -> Self {
        Self { logo_url: branding.logo_url, color: branding.color, website: branding.website }
    }

    fn into_domain(self, check: &mut Check) -> Branding {
        let color = check.optional_text("branding.color", self.color, 7);
        let is_color = |color: &str| {
            let digits = color.strip_prefix('#').unwrap_or_default();
            digits.len() == 6 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
        };
        if color.as_ref().is_some_and(|color| !is_color(color)) {
            check.refuse("branding.color", "must be a color, such as #0f5f5c");
        }
        Branding {
            logo_url: check.optional_link("branding.logo_url", self.logo_url),
            color,
            website: check.optional_link("branding.website", self.website),
        }
    }
}

impl BankDetailsBody {
    /// The body of bank details.
    pub(crate) fn from_domain(details: Vec<(BankField, String)>) -> Self {
        let mut body = Self::default();
        for (field, value) in details {
            *body.field(field) = Some(value);
        }
        body
    }

    fn into_domain(mut self, check: &mut Check) -> BTreeMap<BankField, String> {
        let mut read = |field: BankField| {
            let name = format!("bank_details.{}", field.name());
            let value = check.optional_rows(&name, self.field(field).take(), 500)?;
            Some((field, value))
        };
        BankField::ALL.into_iter().filter_map(&mut read).collect()
    }

    fn field(&mut self, field: BankField) -> &mut Option<String> {
        match field {
            BankField::AccountHolder => &mut self.account_holder,
            BankField::BankName => &mut self.bank_name,
            BankField::AccountNumber => &mut self.account_number,
            BankField::Iban => &mut self.iban,
            BankField::SwiftCode => &mut self.swift_code,
            BankField::RoutingNumber => &mut self.routing_number,
            BankField::SortCode => &mut self.sort_code,
            BankField::IfscCode => &mut self.ifsc_code,
            BankField::Instructions => &mut self.instructions,
        }
    }
}
