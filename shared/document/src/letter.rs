//! The letter that carries an invoice: a subject, a body in HTML, and the same in text.

use askama::Template;

use crate::{DocumentError, InvoiceDocument, view::View};

/// An e-mail's words.
#[derive(Clone, Debug)]
pub struct Email {
    /// One line.
    pub subject: String,
    /// The body for readers that show HTML.
    pub html: String,
    /// The body for all others.
    pub text: String,
}

#[derive(Template)]
#[template(path = "email.html")]
struct Html<'a> {
    invoice: &'a View,
}

#[derive(Template)]
#[template(path = "email.txt", escape = "none")]
struct Text<'a> {
    invoice: &'a View,
}

/// The letter for an invoice.
///
/// Errors: only for a defect of a template.
pub fn email(document: &InvoiceDocument) -> Result<Email, DocumentError> {
    let invoice = &View::new(document);
    Ok(Email {
        subject: invoice.title.clone(),
        html: Html { invoice }.render()?,
        text: Text { invoice }.render()?,
    })
}
