//! Invoices, under their customer, and due when their grace period ends.

use domain::{
    id::{CustomerId, InvoiceId, OrganizationId},
    invoice::Invoice,
    outbox::OutboxEntry,
    period_close::PeriodClose,
};

use crate::{
    audit::Change,
    client::Store,
    error::StoreError,
    invoice_item::{SHARDS, from_item, invoice_item, status_text},
    item::{Item, Reader},
    keys,
    page::{Filter, List, Page, PageRequest},
    transaction::{Otherwise, Transaction},
};

impl Store {
    /// Commits the end of a period: the draft, if there is one, the subscription in its next period, and
    /// what is to be told, or nothing.
    ///
    /// Errors: `Conflict` if the subscription changed, or the period was closed, meanwhile.
    pub async fn commit_close(&self, change: &Change, close: &PeriodClose) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(&self.core_table)
            .subscription(organization, &close.subscription)
            .outbox(organization, &close.outbox)
            .audited(change, "close period", close.subscription.id);
        if let Some(invoice) = &close.invoice {
            let reference = Item::new(keys::reference(organization, invoice.id), "reference")
                .display("customer", invoice.customer);
            transaction = transaction
                .create(invoice_item(organization, invoice)?, Otherwise::Conflict)
                .create(reference, Otherwise::Conflict);
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
        filter: &Filter,
        request: &PageRequest,
    ) -> Result<Page<Invoice>, StoreError> {
        let Some(customer) = filter.customer else {
            let filter = filter.status.map(|status| ("status", status.to_owned()));
            let list = List { what: "INVOICES", shards: SHARDS, filter };
            return self.list(organization, &list, request).await?.try_map(|item| from_item(&item));
        };
        let items = self.query(keys::customer_partition(organization, customer), "INV#").await?;
        let invoices = items.iter().rev().map(from_item).collect::<Result<Vec<_>, _>>()?;
        let is_wanted =
            |invoice: &Invoice| filter.status.is_none_or(|status| status_text(invoice.status).0 == status);
        let rows = invoices.into_iter().filter(is_wanted).map(|invoice| (invoice.id.to_string(), invoice));
        Ok(Page::of(rows.collect(), request))
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
    /// have no gaps.
    ///
    /// Errors: `Conflict` if the draft changed or the number was taken meanwhile.
    pub async fn commit_finalized(
        &self,
        change: &Change,
        invoice: &Invoice,
        outbox: &[OutboxEntry],
    ) -> Result<(), StoreError> {
        let organization = change.organization;
        let mut transaction = Transaction::new(&self.core_table)
            .replace(invoice_item(organization, invoice)?, invoice.version)
            .outbox(organization, outbox)
            .audited(change, "finalize invoice", invoice.id);
        if let Some(number) = invoice.number {
            let sequence = keys::invoice_sequence(organization, number.year);
            transaction = transaction.count(sequence, number.sequence - 1, number.sequence);
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
        Transaction::new(&self.core_table)
            .replace(invoice_item(change.organization, invoice)?, invoice.version)
            .outbox(change.organization, outbox)
            .audited(change, action, invoice.id)
            .commit(self)
            .await
    }
}
