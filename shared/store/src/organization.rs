//! Organizations and the people who sign in to them.

use domain::{
    id::{OrganizationId, UserId},
    organization::{Organization, Settings},
    user::{Role, User},
};

use crate::{
    audit::Change,
    client::Store,
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    transaction::{Otherwise, Transaction},
};

impl Store {
    /// Makes an organization and its owner. Errors: `Taken` if the e-mail address has a user already.
    pub async fn create_organization(
        &self,
        change: &Change,
        organization: &Organization,
        owner: &User,
    ) -> Result<(), StoreError> {
        let email = Item::new(keys::email(&owner.email), "email")
            .display("organization", owner.organization)
            .display("user", owner.id);
        Transaction::new(&self.core_table)
            .create(organization_item(organization), Otherwise::Conflict)
            .create(user_item(owner), Otherwise::Conflict)
            .create(email, Otherwise::Taken("email"))
            .audited(change, "create organization", organization.id)
            .commit(self)
            .await
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
        Transaction::new(&self.core_table)
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
        .time("created_at", organization.created_at)
}

fn organization_from(item: &Attributes) -> Result<Organization, StoreError> {
    let item = Reader::new("organization", item)?;
    Ok(Organization {
        id: item.parse("id")?,
        name: item.text("name")?.to_owned(),
        settings: Settings {
            creates_customers_on_track: item.flag("creates_customers_on_track")?,
            emails_invoices: item.flag("emails_invoices")?,
            payment_terms_days: item.small("payment_terms_days")?,
            email: item.owned("email")?,
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
