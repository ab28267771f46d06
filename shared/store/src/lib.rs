//! DynamoDB, one function per access pattern. Nothing else knows how things are stored, and nothing here
//! decides anything: conditions are part of the writes, and what they protect is decided in `domain`.
//!
//! Every key begins with the organization's id, and every function takes it, so no read or write can
//! forget whose data it is. `docs/ARCHITECTURE.md` lists all access patterns.

mod alert;
mod api_key;
mod audit;
mod billing_error;
mod charge;
mod client;
mod customer;
mod data_key;
mod due;
mod entitlement;
mod error;
mod feature;
mod idempotency;
mod invoice;
mod invoice_item;
mod invoice_parties;
mod item;
mod keys;
mod meter;
mod organization;
mod outbox;
mod page;
mod plan;
mod segment;
mod session;
mod subscription;
mod survey;
mod tables;
mod test_clock;
mod transaction;
mod uncounted;
mod usage;

pub use audit::Change;
pub use client::Store;
pub use codec::raw_bytes as event_bytes;
pub use customer::CustomerFilter;
pub use data_key::StoredDataKey;
pub use due::{Due, DueAlert, DueKind};
pub use entitlement::SubscribedCustomer;
pub use error::{StoreError, if_there};
pub use idempotency::{Claimed, IdempotentAnswer};
pub use invoice::InvoiceFilter;
pub use page::{Filter, Page, PageRequest, Position};
pub use segment::Row;
pub use survey::{StoredSegment, UsageFound};
pub use test_clock::TestDue;
pub use uncounted::{Uncounted, UncountedEvent};
pub use usage::{CommitOutcome, HeadId};
