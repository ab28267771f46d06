//! Use cases: load, decide (in `domain`), save. One module per thing that is asked of the product.

pub mod api_keys;
pub mod authenticate;
pub mod catalog;
pub mod change_subscription;
mod charge_usage;
pub mod close_period;
pub mod customers;
mod error;
pub mod estimate;
pub mod finalize_invoice;
pub mod idempotency;
pub mod ingest_usage;
mod invoice_document;
pub mod invoices;
pub mod outbox;
pub mod plans;
mod platform;
pub mod port;
pub mod preview;
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
pub use platform::{Platform, Settings};
pub use store::{Page, PageRequest, Position};
