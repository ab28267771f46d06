//! What an invoice looks like: as a PDF, as an e-mail, and as a page that needs no login.
//!
//! ```text
//! InvoiceDocument ─► View (clean text, dates in words) ─┬─► templates/invoice.typ ─► pdf
//!                                                       ├─► templates/email.*     ─► email
//!                                                       └─► templates/page.*      ─► page
//! ```
//! Everything is a function of the document given: no clock, no files, no network, no fonts of the system. The
//! same document gives the same bytes.

mod accent;
mod email;
mod error;
mod invoice;
mod page;
mod pdf;
mod plain;
#[cfg(test)]
mod tests;
mod view;
mod world;

pub use accent::Accent;
pub use email::{Email, email};
pub use error::DocumentError;
pub use invoice::{InvoiceDocument, Line, Party, Status};
pub use page::page;
pub use pdf::pdf;
