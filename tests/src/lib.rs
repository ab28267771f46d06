//! Tests of the product as a whole: over HTTP, as Lambda functions, against AWS's own protocols. One
//! binary, since linking is slow.

#![cfg(test)]

mod adapters;
mod alerts;
mod authentication;
mod bad_input;
mod bench;
mod chaos;
mod client;
mod contract;
mod demo;
mod draft_invoices;
mod entitlements;
mod generate_invoice;
mod invoices;
mod isolation;
mod lambda;
mod late_usage;
mod lifecycle;
mod local;
mod main_job;
mod overrides;
mod plans;
mod preview;
mod pricing;
mod public_invoices;
mod repeats;
mod store;
mod taxes;
mod test_clock;
mod tidy;
mod usage;
