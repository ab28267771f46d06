//! Customers, found by id and by the id their organization gave them.

use domain::{
    credit::CreditBalances,
    customer::{Address, Customer, Sealed},
    id::{CustomerId, OrganizationId},
    money::Money,
    tax::TaxExemption,
};

use crate::{
    audit::Change,
    client::Store,
    error::StoreError,
    item::{Attributes, Item, Reader},
    keys,
    page::{List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

/// Which customers of an organization are listed: all that fit what is given.
#[derive(Clone, Debug, Default)]
pub struct CustomerFilter {
    /// Only the one that its organization calls so.
    pub external_id: Option<String>,
    /// Only those whose invoices go there.
    pub email: Option<String>,
}

const LIST: List = List { what: "CUSTOMERS", shards: 4, filter: None };

impl Store {
    /// Makes a customer. Errors: `Taken` if its external id is.
    pub async fn create_customer(&self, change: &Change, customer: &Customer) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(self)
            .create(customer_item(change.organization, customer), Otherwise::Conflict)
            .audited(change, "create customer", customer.id);
        if let Some(external_id) = &customer.external_id {
            let claim = keys::claim(change.organization, "CUSTOMER", external_id);
            transaction = transaction.claim(claim, customer.id, "external_id");
        }
        transaction.commit(self).await
    }

    /// A customer.
    pub async fn get_customer(
        &self,
        organization: OrganizationId,
        id: CustomerId,
    ) -> Result<Customer, StoreError> {
        let item =
            self.get(keys::customer(organization, id)).await?.ok_or(StoreError::NotFound("customer"))?;
        customer_from(&item)
    }

    /// The id of the customer that its organization calls `external_id`.
    pub async fn find_customer_by_external_id(
        &self,
        organization: OrganizationId,
        external_id: &str,
    ) -> Result<Option<CustomerId>, StoreError> {
        let Some(claim) = self.get(keys::claim(organization, "CUSTOMER", external_id)).await? else {
            return Ok(None);
        };
        Reader::new("claim", &claim)?.parse("owner").map(Some)
    }

    /// The customers of an organization that fit `filter`.
    pub async fn list_customers(
        &self,
        organization: OrganizationId,
        filter: &CustomerFilter,
        request: &PageRequest,
    ) -> Result<Page<Customer>, StoreError> {
        let email = filter.email.as_ref();
        let Some(external_id) = &filter.external_id else {
            let list = List { filter: email.map(|email| ("email", email.clone())), ..LIST };
            return self.list(organization, &list, request).await?.try_map(|item| customer_from(&item));
        };
        let found = match self.find_customer_by_external_id(organization, external_id).await? {
            Some(id) => self.get(keys::customer(organization, id)).await?,
            None => None,
        };
        let found = found.map(|item| customer_from(&item)).transpose()?;
        let found = found.filter(|customer| email.is_none_or(|email| customer.email.as_ref() == Some(email)));
        Ok(Page::of(found.map(|customer| (customer.id.to_string(), customer)).into_iter().collect(), request))
    }

    /// Puts `customer` over `before`, which was read. Errors: `Taken` if its external id is.
    pub async fn update_customer(
        &self,
        change: &Change,
        before: &Customer,
        customer: &Customer,
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(self)
            .replace(customer_item(change.organization, customer), before.version)
            .audited(change, "update customer", customer.id);
        if before.external_id != customer.external_id {
            let claim = |external_id: &String| keys::claim(change.organization, "CUSTOMER", external_id);
            if let Some(external_id) = &before.external_id {
                transaction = transaction.release(claim(external_id));
            }
            if let Some(external_id) = &customer.external_id {
                transaction = transaction.claim(claim(external_id), customer.id, "external_id");
            }
        }
        transaction.commit(self).await
    }

    /// Deletes a customer of the version that was read.
    pub async fn delete_customer(&self, change: &Change, customer: &Customer) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(self)
            .delete(keys::customer(change.organization, customer.id), customer.version)
            .audited(change, "delete customer", customer.id);
        if let Some(external_id) = &customer.external_id {
            transaction = transaction.release(keys::claim(change.organization, "CUSTOMER", external_id));
        }
        transaction.commit(self).await
    }
}

impl Transaction {
    /// Puts a customer over the version that was read, who is called as before.
    pub(crate) fn customer(self, organization: OrganizationId, customer: &Customer) -> Self {
        self.replace(customer_item(organization, customer), customer.version)
    }
}

fn customer_item(organization: OrganizationId, customer: &Customer) -> Item {
    let shard = keys::shard(customer.id, LIST.shards);
    Item::new(keys::customer(organization, customer.id), "customer")
        .listed(keys::list(organization, LIST.what, shard), customer.id)
        .number("version", customer.version + 1)
        .display("id", customer.id)
        .text("name", &customer.name)
        .optional("email", customer.email.as_deref())
        .optional("external_id", customer.external_id.as_deref())
        .optional("phone", customer.phone.as_deref())
        .map("billing_address", address_item(&customer.billing_address))
        .optional("tax_id", customer.tax_id.as_ref().map(|sealed| &sealed.0))
        .text("tax_exemption", exemption_text(customer.tax_exemption))
        .map("credits", credits_item(&customer.credits))
        .properties("metadata", &customer.metadata)
        .time("created_at", customer.created_at)
        .time("updated_at", customer.updated_at)
}

pub(crate) fn customer_from(item: &Attributes) -> Result<Customer, StoreError> {
    let item = Reader::new("customer", item)?;
    Ok(Customer {
        id: item.parse("id")?,
        name: item.text("name")?.to_owned(),
        email: item.owned("email")?,
        external_id: item.owned("external_id")?,
        phone: item.owned("phone")?,
        billing_address: address_from(item.map("billing_address")?)?,
        tax_id: item.owned("tax_id")?.map(Sealed),
        tax_exemption: match item.text("tax_exemption")? {
            "none" => TaxExemption::None,
            "exempt" => TaxExemption::Exempt,
            "reverse" => TaxExemption::ReverseCharge,
            _ => return Err(item.corrupt("tax_exemption")),
        },
        credits: item.optional_map("credits")?.map(credits_from).transpose()?.unwrap_or_default(),
        metadata: item.properties("metadata")?,
        created_at: item.time("created_at")?,
        updated_at: item.time("updated_at")?,
        version: item.number("version")?,
    })
}

fn credits_item(credits: &CreditBalances) -> Item {
    credits.iter().fold(Item::default(), |item, money| item.display(money.currency().code(), money.amount()))
}

fn credits_from(credits: Reader<'_>) -> Result<CreditBalances, StoreError> {
    credits.names().try_fold(CreditBalances::default(), |balances, code| {
        let currency = code.parse().map_err(|_| credits.corrupt("credits"))?;
        balances.changed(Money::new(credits.parse(code)?, currency)).map_err(|_| credits.corrupt("credits"))
    })
}

fn exemption_text(exemption: TaxExemption) -> &'static str {
    match exemption {
        TaxExemption::None => "none",
        TaxExemption::Exempt => "exempt",
        TaxExemption::ReverseCharge => "reverse",
    }
}

pub(crate) fn address_item(address: &Address) -> Item {
    Item::default()
        .optional("line1", address.line1.as_deref())
        .optional("line2", address.line2.as_deref())
        .optional("city", address.city.as_deref())
        .optional("state", address.state.as_deref())
        .optional("country", address.country.as_deref())
        .optional("postal_code", address.postal_code.as_deref())
}

pub(crate) fn address_from(address: Reader<'_>) -> Result<Address, StoreError> {
    Ok(Address {
        line1: address.owned("line1")?,
        line2: address.owned("line2")?,
        city: address.owned("city")?,
        state: address.owned("state")?,
        country: address.owned("country")?,
        postal_code: address.owned("postal_code")?,
    })
}
