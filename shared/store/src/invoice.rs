//! Invoices, under their customer, and due when their grace period ends.

use domain::{
    customer::Customer,
    id::{CustomerId, InvoiceId, OrganizationId, SubscriptionId},
    invoice::{Invoice, InvoiceNumber},
    outbox::OutboxEntry,
    period_close::PeriodClose,
    series::Range,
    subscription::Subscription,
};

use crate::{
    audit::Change,
    client::Store,
    error::StoreError,
    invoice_item::{SHARDS, from_item, invoice_item, status_text},
    item::{Attributes, Item, Reader, time_text},
    keys,
    page::{Condition, List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

/// Which invoices of an organization are listed: all that fit what is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct InvoiceFilter {
    /// Only those of one customer.
    pub customer: Option<CustomerId>,
    /// Only those in one state, given as on the wire.
    pub status: Option<&'static str>,
    /// Only those of one subscription, and its customer.
    pub subscription: Option<SubscriptionId>,
    /// Only those dated in a range.
    pub issued: Option<Range>,
    /// Only the one of a number.
    pub number: Option<InvoiceNumber>,
}

impl Store {
    /// Commits the end of a period: the draft, if there is one, the subscription in its next period, and
    /// what is to be told, or nothing.
    ///
    /// Errors: `Conflict` if the subscription changed, or the period was closed, meanwhile.
    pub async fn commit_close(&self, change: &Change, close: &PeriodClose) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(self)
            .subscription(organization, &close.subscription)
            .outbox(organization, &close.outbox)
            .audited(change, "close period", close.subscription.id);
        if let Some(invoice) = &close.invoice {
            transaction = transaction
                .create(invoice_item(organization, invoice)?, Otherwise::Conflict)
                .create(reference(organization, invoice), Otherwise::Conflict);
        }
        transaction.commit(self).await
    }

    /// Makes an invoice of a customer that exists. Errors: `NotFound` otherwise.
    pub async fn create_invoice(
        &self,
        change: &Change,
        invoice: &Invoice,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let customer = keys::customer(organization, invoice.customer);
        Transaction::new(self)
            .check(customer, "attribute_exists(pk)", Otherwise::NotFound("customer"))
            .create(invoice_item(organization, invoice)?, Otherwise::Conflict)
            .create(reference(organization, invoice), Otherwise::Conflict)
            .outbox(organization, outbox)
            .audited(change, "create invoice", invoice.id)
            .commit(self)
            .await
    }

    /// Makes the draft of a bill that has none, or in place of `void`, which then says so, with what is to be told.
    ///
    /// Errors: `Conflict` if the bill has got another one, or `void` changed meanwhile.
    pub async fn create_draft(
        &self,
        change: &Change,
        draft: &Invoice,
        void: Option<&Invoice>,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(self)
            .create(invoice_item(organization, draft)?, Otherwise::Conflict)
            .create(reference(organization, draft), Otherwise::Conflict)
            .outbox(organization, outbox)
            .audited(change, "make invoice again", draft.id);
        if let Some(void) = void {
            let replaced = Invoice { replaced_by: Some(draft.id), ..void.clone() };
            transaction = transaction.replace(invoice_item(organization, &replaced)?, void.version);
        }
        transaction.commit(self).await
    }

    /// An invoice.
    pub async fn get_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
    ) -> Result<Invoice, StoreError> {
        let reference = self.get(keys::reference(organization, id)).await?;
        let reference = reference.ok_or(StoreError::NotFound("invoice"))?;
        self.get_invoice_of(organization, Reader::new("reference", &reference)?.parse("customer")?, id).await
    }

    /// An invoice whose customer is known.
    pub async fn get_invoice_of(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
        id: InvoiceId,
    ) -> Result<Invoice, StoreError> {
        let item = self.get(keys::invoice(organization, customer, id)).await?;
        from_item(&item.ok_or(StoreError::NotFound("invoice"))?)
    }

    /// The invoices of an organization that fit `filter`.
    pub async fn list_invoices(
        &self,
        organization: OrganizationId,
        filter: &InvoiceFilter,
        request: &PageRequest,
    ) -> Result<Page<Invoice>, StoreError> {
        let Some(customer) = filter.customer else {
            let issued = filter
                .issued
                .map(|range| Condition::Between("issued_at", time_text(range.from), time_text(range.until)));
            let conditions =
                issued.into_iter().chain(filter.number.map(Condition::Number)).collect::<Vec<_>>();
            let status = filter.status.map(|status| ("status", status.to_owned()));
            let list = List { what: "INVOICES", shards: SHARDS, filter: status };
            let rows = self.list_where(organization, &list, &conditions, request).await?;
            return rows.try_map(|item| from_item(&item));
        };
        let is_wanted = |invoice: &Invoice| {
            filter.status.is_none_or(|status| status_text(invoice.status).0 == status)
                && filter.number.is_none_or(|number| invoice.number == Some(number))
                && filter.subscription.is_none_or(|wanted| {
                    invoice.billed.is_some_and(|(subscription, _)| subscription == wanted)
                })
                && filter
                    .issued
                    .is_none_or(|range| range.from <= invoice.issued_at && invoice.issued_at < range.until)
        };
        let invoices = self.list_invoices_of(organization, customer).await?.into_iter().rev();
        let rows = invoices.filter(is_wanted).map(|invoice| (invoice.id.to_string(), invoice));
        Ok(Page::of(rows.collect(), request))
    }

    /// All invoices of one customer, oldest first.
    pub async fn list_invoices_of(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
    ) -> Result<Vec<Invoice>, StoreError> {
        let items = self.query(keys::customer_partition(organization, customer), "INV#").await?;
        items.iter().map(from_item).collect()
    }

    /// The last invoice number given in a year; 0 if none was.
    pub async fn last_invoice_sequence(
        &self,
        organization: OrganizationId,
        year: i32,
    ) -> Result<u64, StoreError> {
        match self.get(keys::invoice_sequence(organization, year)).await? {
            None => Ok(0),
            Some(item) => match item.get("last") {
                Some(aws_sdk_dynamodb::types::AttributeValue::N(text)) => text.parse().ok(),
                _ => None,
            }
            .ok_or_else(|| StoreError::Corrupt {
                kind: "invoice sequence",
                reason: "attribute `last`".into(),
            }),
        }
    }

    /// Puts a finalized invoice over the draft that was read, taking its number, in one write: numbers
    /// have no gaps. A customer whose credit changes by it is put over the version that was read, too.
    ///
    /// Errors: `Conflict` if the draft or the customer changed, or the number was taken meanwhile.
    pub async fn commit_finalized(
        &self,
        change: &Change,
        invoice: &Invoice,
        customer: Option<&Customer>,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(self)
            .replace(invoice_item(organization, invoice)?, invoice.version)
            .outbox(organization, outbox)
            .audited(change, "finalize invoice", invoice.id);
        if let Some(number) = invoice.number {
            let sequence = keys::invoice_sequence(organization, number.year);
            transaction = transaction.count(sequence, number.sequence - 1, number.sequence);
        }
        if let Some(customer) = customer {
            transaction = transaction.customer(organization, customer);
        }
        transaction.commit(self).await
    }

    /// Puts an edited draft over `before`, which was read. One that goes to another customer moves there.
    ///
    /// Errors: `Conflict` if it changed meanwhile; `NotFound` if the new customer does not exist.
    pub async fn update_draft(
        &self,
        change: &Change,
        before: &Invoice,
        draft: &Invoice,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let item = invoice_item(organization, draft)?;
        let transaction = Transaction::new(self).audited(change, "edit invoice", draft.id);
        let transaction = if before.customer == draft.customer {
            transaction.replace(item, before.version)
        } else {
            let customer = keys::customer(organization, draft.customer);
            transaction
                .check(customer, "attribute_exists(pk)", Otherwise::NotFound("customer"))
                .delete(keys::invoice(organization, before.customer, before.id), before.version)
                .create(item, Otherwise::Conflict)
                .overwrite(reference(organization, draft))
        };
        transaction.commit(self).await
    }

    /// Deletes a draft of the version that was read.
    pub async fn delete_draft(
        &self,
        change: &Change,
        action: &'static str,
        draft: &Invoice,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(self)
            .delete(keys::invoice(organization, draft.customer, draft.id), draft.version)
            .release(keys::reference(organization, draft.id))
            .audited(change, action, draft.id);
        if let Some(hash) = &draft.public_token_hash {
            transaction = transaction.release(keys::public_token(hash));
        }
        transaction.commit(self).await
    }

    /// Gives an invoice the public token with this hash, in place of the one it has.
    pub async fn put_public_token(
        &self,
        change: &Change,
        invoice: &Invoice,
        hash: &str,
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let public = Item::new(keys::public_token(hash), "public_token")
            .display("organization", organization)
            .display("invoice", invoice.id);
        let with_token = Invoice { public_token_hash: Some(hash.to_owned()), ..invoice.clone() };
        let mut transaction = Transaction::new(self)
            .replace(invoice_item(organization, &with_token)?, invoice.version)
            .create(public, Otherwise::Conflict)
            .audited(change, "make public token", invoice.id);
        if let Some(before) = &invoice.public_token_hash {
            transaction = transaction.release(keys::public_token(before));
        }
        transaction.commit(self).await
    }

    /// The invoice whose public token has this hash, in whatever organization.
    pub async fn find_public_invoice(
        &self,
        hash: &str,
    ) -> Result<Option<(OrganizationId, Invoice)>, StoreError> {
        let Some(item) = self.get(keys::public_token(hash)).await? else { return Ok(None) };
        let item: &Attributes = &item;
        let found = Reader::new("public_token", item)?;
        let organization = found.parse("organization")?;
        match self.get_invoice(organization, found.parse("invoice")?).await {
            Ok(invoice) if invoice.public_token_hash.as_deref() == Some(hash) => {
                Ok(Some((organization, invoice)))
            }
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts an invoice over the version that was read, and its subscription and its customer over theirs if they
    /// change with it, with what is to be told.
    ///
    /// Errors: `Conflict` if any of them changed meanwhile.
    pub async fn update_invoice_with(
        &self,
        change: &Change,
        action: &'static str,
        invoice: &Invoice,
        (subscription, customer): (Option<&Subscription>, Option<&Customer>),
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let mut transaction = Transaction::new(self)
            .replace(invoice_item(change.organization, invoice)?, invoice.version)
            .outbox(change.organization, outbox)
            .audited(change, action, invoice.id);
        if let Some(subscription) = subscription {
            transaction = transaction.subscription(change.organization, subscription);
        }
        if let Some(customer) = customer {
            transaction = transaction.customer(change.organization, customer);
        }
        transaction.commit(self).await
    }

    /// Puts an invoice over the version that was read, with what is to be told of it.
    pub async fn update_invoice(
        &self,
        change: &Change,
        action: &'static str,
        invoice: &Invoice,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        self.update_invoice_with(change, action, invoice, (None, None), outbox).await
    }
}

/// Leads from an invoice's id to its customer.
fn reference(organization: OrganizationId, invoice: &Invoice) -> Item {
    Item::new(keys::reference(organization, invoice.id), "reference").display("customer", invoice.customer)
}
