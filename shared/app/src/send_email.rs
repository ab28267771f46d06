//! Mailing invoices: as a letter in HTML and in text, with the PDF.

use domain::{
    id::{CustomerId, OrganizationId, OutboxId},
    outbox::{OutboxEntry, OutboxMessage},
};
use lettre::message::{Attachment, Mailbox, MultiPart, header::ContentType};

use crate::{AppError, Platform, document, invoice_view::view, port::Mail};

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was sent now.
    Sent,
    /// It had been sent before.
    Already,
    /// The customer has no address. It is shown on the invoice's page all the same.
    NoAddress,
}

/// Sends the mail that an entry of the outbox asks for, unless it was sent already. Between sending and
/// recording that it was sent, a crash makes the same mail go out again, under the same id.
///
/// Errors: whatever can be tried again; `Internal` if it can never be sent.
pub async fn deliver(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    entry: OutboxId,
) -> Result<Delivery, AppError> {
    let Some(entry) = platform.store.find_outbox_entry(organization, customer, entry).await? else {
        return Ok(Delivery::Already);
    };
    let OutboxMessage::EmailInvoice { invoice } = entry.message else {
        return Err(AppError::internal("the outbox entry is no e-mail"));
    };
    let delivery = match compose(platform, organization, &entry, invoice).await? {
        Some(mail) => {
            platform.mailer.send(&mail).await?;
            tracing::info!(invoice.id = %invoice, "mailed invoice {invoice}");
            Delivery::Sent
        }
        None => {
            tracing::warn!(invoice.id = %invoice, "invoice {invoice} has nobody to be mailed to");
            Delivery::NoAddress
        }
    };
    platform.store.deliver_outbox_entry(organization, &entry, platform.real_now()).await?;
    Ok(delivery)
}

/// The mail, or `None` if the customer has no address.
async fn compose(
    platform: &Platform,
    organization: OrganizationId,
    entry: &OutboxEntry,
    invoice: domain::id::InvoiceId,
) -> Result<Option<Mail>, AppError> {
    let invoice = platform.store.get_invoice_of(organization, entry.customer, invoice).await?;
    let customer = platform.store.get_customer(organization, entry.customer).await?;
    let Some(to) = customer.email else { return Ok(None) };
    let view = view(platform, organization, invoice).await?;

    let document = document(&view)?;
    let (invoice, seller) = (view.invoice, view.organization);
    let file = format!("{}.pdf", document.number.as_deref().unwrap_or("draft"));
    let typeset =
        move || Ok::<_, document::DocumentError>((document::email(&document)?, document::pdf(&document)?));
    let typeset = tokio::task::spawn_blocking(typeset).await.map_err(AppError::internal)?;
    let (letter, pdf) = typeset.map_err(AppError::internal)?;

    let from = Mailbox::new(Some(one_row(&seller.name)), address(&platform.settings.email_from)?);
    // A test clock may be years ahead, which a mail must not be.
    let date = entry.at.min(platform.real_now()) - chrono::DateTime::UNIX_EPOCH;
    let mut message = lettre::Message::builder()
        .from(from)
        .to(Mailbox::new(Some(one_row(&customer.name)), address(&to)?))
        .subject(&letter.subject)
        .message_id(Some(format!("<{}@fluxrate>", entry.id)))
        .date(std::time::UNIX_EPOCH + date.to_std().unwrap_or_default());
    if let Some(reply_to) = &seller.settings.email {
        message = message.reply_to(Mailbox::new(None, address(reply_to)?));
    }
    let pdf_type = ContentType::parse("application/pdf").map_err(AppError::internal)?;
    let message = message.multipart(
        MultiPart::mixed()
            .multipart(MultiPart::alternative_plain_html(letter.text, letter.html))
            .singlepart(Attachment::new(file).body(pdf, pdf_type)),
    );
    let mime = message.map_err(AppError::internal)?.formatted();
    Ok(Some(Mail { id: entry.id, to, subject: letter.subject, invoice: invoice.id, mime }))
}

/// A name as the header of a mail takes it, which ends at a line break.
fn one_row(name: &str) -> String {
    name.split(char::is_control).collect::<Vec<_>>().join(" ")
}

fn address(text: &str) -> Result<lettre::Address, AppError> {
    text.parse().map_err(AppError::internal)
}
