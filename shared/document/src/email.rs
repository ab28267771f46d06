//! The invoice as an e-mail.

use askama::Template;

use crate::{DocumentError, InvoiceDocument, Status, view::View};

/// Lines shown in an e-mail. Mail programs cut off messages of more than about 100 KB; a line takes up to 1 KB.
const LINES_MAX: usize = 40;

/// An e-mail about an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// One row of text, which may be outside ASCII.
    pub subject: String,
    /// The body as HTML.
    pub html: String,
    /// The body as plain text.
    pub text: String,
}

/// The e-mail that brings the invoice to its buyer. Of a long invoice it shows the first lines only.
///
/// Errors: `Link` if a link is not one that a reader may follow.
pub fn email(invoice: &InvoiceDocument) -> Result<Email, DocumentError> {
    let mut view = View::new(invoice)?;
    let lines_left_out = view.lines.len().saturating_sub(LINES_MAX);
    view.lines.truncate(LINES_MAX);
    Ok(Email {
        subject: subject(&view, invoice.status),
        html: Html { invoice: &view, lines_left_out }.render()?,
        text: Text { invoice: &view, lines_left_out }.render()?,
    })
}

#[derive(Template)]
#[template(path = "email.html")]
struct Html<'a> {
    invoice: &'a View,
    lines_left_out: usize,
}

#[derive(Template)]
#[template(path = "email.txt")]
struct Text<'a> {
    invoice: &'a View,
    lines_left_out: usize,
}

fn subject(view: &View, status: Status) -> String {
    let View { title, currency, headline, standing, .. } = view;
    match status {
        Status::Draft => format!("{title}: {currency} {headline}"),
        Status::Open | Status::Uncollectible => {
            format!("{title}: {currency} {headline}, {}", lower_first(standing))
        }
        Status::Paid => format!("Paid: {title}, {currency} {headline}"),
        Status::Credit => format!("Credit: {title}, {currency} {headline}"),
        Status::Void => format!("Void: {title}"),
    }
}

/// For ours, which start with a letter of ASCII.
fn lower_first(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}
