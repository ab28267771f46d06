//! Organizations and the people who sign in to them.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    customer::Sealed,
    id::{OrganizationId, UserId},
    organization::{BankField, Branding, LateUsage, Organization, Settings, ZeroInvoices},
    proration::ProrationPolicy,
    tax::{TaxPolicy, TaxRate},
    test_clock::TestClock,
    user::{Role, User},
};

use crate::{
    audit::Change,
    client::Store,
    customer::{address_from, address_item},
    error::{StoreError, unavailable},
    item::{Attributes, Item, Reader},
    keys,
    subscription::{proration_from, proration_item},
    test_clock::test_clock_item,
    transaction::{Otherwise, Transaction},
};

impl Store {
    /// Makes an organization and its owner, with its clock if it is in test mode. Errors: `Taken` if the e-mail address has a user already.
    pub async fn create_organization(
        &self,
        change: &Change,
        organization: &Organization,
        owner: &User,
        clock: Option<&TestClock>,
    ) -> Result<(), StoreError> {
        let email = Item::new(keys::email(&owner.email), "email")
            .display("organization", owner.organization)
            .display("user", owner.id);
        let mut transaction = Transaction::new(self)
            .create(organization_item(organization), Otherwise::Conflict)
            .create(user_item(owner), Otherwise::Conflict)
            .create(email, Otherwise::Taken("email"))
            .audited(change, "create organization", organization.id);
        if let Some(clock) = clock {
            transaction = transaction.create(test_clock_item(organization.id, clock), Otherwise::Conflict);
        }
        transaction.commit(self).await
    }

    /// Every organization there is. Reads the whole table: for whoever runs the platform, and no one else.
    pub async fn scan_organizations(&self) -> Result<Vec<OrganizationId>, StoreError> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let page = self.client.scan().table_name(&self.core_table).consistent_read(true);
            let page = page
                .filter_expression("#type = :type")
                .expression_attribute_names("#type", "type")
                .expression_attribute_values(":type", AttributeValue::S("organization".to_owned()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(unavailable)?;
            for item in page.items.unwrap_or_default() {
                found.push(Reader::new("organization", &item)?.parse("pk")?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// An organization.
    pub async fn get_organization(&self, id: OrganizationId) -> Result<Organization, StoreError> {
        let item = self.get(keys::organization(id)).await?.ok_or(StoreError::NotFound("organization"))?;
        organization_from(&item)
    }

    /// Puts an organization over the version that was read.
    pub async fn update_organization(
        &self,
        change: &Change,
        organization: &Organization,
    ) -> Result<(), StoreError> {
        Transaction::new(self)
            .replace(organization_item(organization), organization.version)
            .audited(change, "update organization", organization.id)
            .commit(self)
            .await
    }

    /// A user of an organization.
    pub async fn get_user(&self, organization: OrganizationId, id: UserId) -> Result<User, StoreError> {
        let item = self.get(keys::user(organization, id)).await?.ok_or(StoreError::NotFound("user"))?;
        user_from(&item)
    }

    /// The user who signs in with an e-mail address, given in lower case.
    pub async fn find_user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        let Some(item) = self.get(keys::email(email)).await? else { return Ok(None) };
        let found = Reader::new("email", &item)?;
        self.get_user(found.parse("organization")?, found.parse("user")?).await.map(Some)
    }
}

fn organization_item(organization: &Organization) -> Item {
    let settings = &organization.settings;
    Item::new(keys::organization(organization.id), "organization")
        .number("version", organization.version + 1)
        .display("id", organization.id)
        .text("name", &organization.name)
        .flag("creates_customers_on_track", settings.creates_customers_on_track)
        .flag("emails_invoices", settings.emails_invoices)
        .number("payment_terms_days", settings.payment_terms_days.into())
        .optional("email", settings.email.as_deref())
        .map("address", address_item(&settings.address))
        .optional("tax_id", settings.tax_id.as_deref())
        .map("tax", tax_policy_item(&settings.tax))
        .flag("skips_zero_invoices", settings.zero_invoices == ZeroInvoices::Skip)
        .flag("ignores_late_usage", settings.late_usage == LateUsage::Ignore)
        .text("time_zone", settings.zone.name())
        .map("proration", proration_item(settings.proration))
        .optional("invoice_notes", settings.invoice_notes.as_deref())
        .map("branding", branding_item(&settings.branding))
        .map("bank_details", bank_details_item(settings))
        .time("created_at", organization.created_at)
}

fn tax_policy_item(policy: &TaxPolicy) -> Item {
    let rate = |rate: &TaxRate| {
        Item::default()
            .text("name", &rate.name)
            .text("country", &rate.country)
            .optional("state", rate.state.as_deref())
            .display("percent", rate.percent)
            .flag("replaces_country", rate.replaces_country)
    };
    Item::default()
        .list("rates", policy.rates.iter().map(rate))
        .flag("is_included", policy.is_included)
        .flag("applies_reverse_charge", policy.applies_reverse_charge)
}

fn tax_policy_from(policy: Reader<'_>) -> Result<TaxPolicy, StoreError> {
    let rate = |rate: Reader<'_>| {
        Ok(TaxRate {
            name: rate.text("name")?.to_owned(),
            country: rate.text("country")?.to_owned(),
            state: rate.owned("state")?,
            percent: rate.parse("percent")?,
            replaces_country: rate.flag("replaces_country")?,
        })
    };
    Ok(TaxPolicy {
        rates: policy.list("rates")?.into_iter().map(rate).collect::<Result<_, StoreError>>()?,
        is_included: policy.flag("is_included")?,
        applies_reverse_charge: policy.flag("applies_reverse_charge")?,
    })
}

fn branding_item(branding: &Branding) -> Item {
    Item::default()
        .optional("logo_url", branding.logo_url.as_deref())
        .optional("color", branding.color.as_deref())
        .optional("website", branding.website.as_deref())
}

fn bank_details_item(settings: &Settings) -> Item {
    let fields = settings.bank_details.iter();
    fields.fold(Item::default(), |item, (field, sealed)| item.text(field.name(), &sealed.0))
}

fn bank_details_from(
    details: Reader<'_>,
) -> Result<std::collections::BTreeMap<BankField, Sealed>, StoreError> {
    let field = |field: BankField| Ok(details.owned(field.name())?.map(|sealed| (field, Sealed(sealed))));
    let fields = BankField::ALL.into_iter().map(field).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(fields.into_iter().flatten().collect())
}

fn organization_from(item: &Attributes) -> Result<Organization, StoreError> {
    let item = Reader::new("organization", item)?;
    let branding = item.map("branding")?;
    let skips_zero_invoices = item.flag("skips_zero_invoices")?;
    let ignores_late_usage = item.has("ignores_late_usage") && item.flag("ignores_late_usage")?;
    Ok(Organization {
        id: item.parse("id")?,
        name: item.text("name")?.to_owned(),
        settings: Settings {
            creates_customers_on_track: item.flag("creates_customers_on_track")?,
            emails_invoices: item.flag("emails_invoices")?,
            payment_terms_days: item.small("payment_terms_days")?,
            email: item.owned("email")?,
            address: address_from(item.map("address")?)?,
            tax_id: item.owned("tax_id")?,
            tax: tax_policy_from(item.map("tax")?)?,
            zero_invoices: if skips_zero_invoices { ZeroInvoices::Skip } else { ZeroInvoices::Create },
            late_usage: if ignores_late_usage { LateUsage::Ignore } else { LateUsage::BillNext },
            // Both came later: an organization without them bills as all did before.
            zone: item.optional("time_zone")?.unwrap_or_default(),
            proration: match item.optional_map("proration")? {
                Some(policy) => proration_from(policy)?,
                None => ProrationPolicy::DEFAULT,
            },
            invoice_notes: item.owned("invoice_notes")?,
            branding: Branding {
                logo_url: branding.owned("logo_url")?,
                color: branding.owned("color")?,
                website: branding.owned("website")?,
            },
            bank_details: bank_details_from(item.map("bank_details")?)?,
        },
        created_at: item.time("created_at")?,
        version: item.number("version")?,
    })
}

fn user_item(user: &User) -> Item {
    Item::new(keys::user(user.organization, user.id), "user")
        .number("version", 1)
        .display("id", user.id)
        .display("organization", user.organization)
        .text("email", &user.email)
        .text("password_hash", &user.password_hash)
        .text("role", role_text(user.role))
        .time("created_at", user.created_at)
}

fn user_from(item: &Attributes) -> Result<User, StoreError> {
    let item = Reader::new("user", item)?;
    Ok(User {
        id: item.parse("id")?,
        organization: item.parse("organization")?,
        email: item.text("email")?.to_owned(),
        password_hash: item.text("password_hash")?.to_owned(),
        role: match item.text("role")? {
            "owner" => Role::Owner,
            _ => return Err(item.corrupt("role")),
        },
        created_at: item.time("created_at")?,
    })
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
    }
}
