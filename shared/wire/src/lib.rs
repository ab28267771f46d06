//! The wire: JSON bodies, problems, pages, queue messages, and the OpenAPI document made from them.
//!
//! Domain types have no JSON of their own. Names and number forms are those of the public API; what comes
//! in is read strictly, and every complaint names its field.

pub mod alert;
pub mod api_key;
pub mod billing_error;
mod by_name;
pub mod charge;
mod check;
pub mod cloud_event;
pub mod customer;
pub mod entitlement;
pub mod estimate;
pub mod explanation;
pub mod extract;
pub mod feature;
pub mod invoice;
pub mod invoice_edit;
mod json;
pub mod line;
pub mod list;
pub mod message;
pub mod meter;
pub mod migration;
mod number;
pub mod one_off;
pub mod openapi;
pub mod organization;
pub mod plan;
pub mod preview;
pub mod price;
pub mod price_out;
pub mod price_override;
mod priced;
pub mod problem;
mod properties;
pub mod public_invoice;
pub mod query;
pub mod routes;
pub mod session;
pub mod subscription;
pub mod subscription_change;
pub mod tax;
pub mod test_clock;
mod time;
pub mod usage;
pub mod usage_batch;
pub mod usage_log;
pub mod usage_read;

pub use json::parse;
pub use number::{NumberIn, NumberOut, QuantityIn};
pub use problem::Problem;
pub use properties::PropertiesIn;
pub use time::{LocalTimeIn, TimeIn, TimeOut};

#[cfg(test)]
mod hostile_tests;
