//! The invoice as a page that needs no login.

use askama::Template;

use crate::{DocumentError, InvoiceDocument, view::View};

/// What stands in the first `<style>` of a page. A second one has the seller's color. A page has no script, and asks
/// for nothing from anywhere but for the seller's logo.
const PAGE_STYLE: &str = include_str!("../templates/page.css");

/// The invoice as a whole HTML page, for screens of any width and for paper.
///
/// Errors: `Link` if a link is not one that a reader may follow.
pub fn page(invoice: &InvoiceDocument) -> Result<String, DocumentError> {
    Ok(Page { invoice: &View::new(invoice)?, style: PAGE_STYLE }.render()?)
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    invoice: &'a View,
    style: &'static str,
}
