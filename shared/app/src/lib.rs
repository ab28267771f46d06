//! Use cases: load, decide (in `domain`), save. One module per thing that is asked of the product.

pub mod api_keys;
pub mod authenticate;
pub mod catalog;
mod charge_usage;
pub mod close_period;
pub mod customers;
pub mod draft_invoices;
pub mod entitlements;
mod error;
pub mod estimate;
pub mod finalize_invoice;
pub mod idempotency;
pub mod ingest_usage;
mod invoice_document;
mod invoice_view;
pub mod invoices;
pub mod outbox;
pub mod overdue;
pub mod plans;
mod platform;
pub mod port;
pub mod preview;
pub mod public_invoices;
pub mod read_usage;
pub mod send_email;
pub mod sessions;
pub mod settings;
pub mod subscriptions;
pub mod sweep;
pub mod track_usage;
mod vault;

pub use error::{AppError, FieldError};
pub use invoice_document::document;
pub use invoice_view::InvoiceView;
pub use platform::{Platform, Settings};
pub use store::{Page, PageRequest, Position};
