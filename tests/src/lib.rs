//! Tests of the product as a whole: over HTTP, as Lambda functions, against AWS's own protocols. One
//! binary, since linking is slow.

#![cfg(test)]

mod adapters;
mod alerts;
mod authentication;
mod bad_input;
mod bench;
mod billing_defaults;
mod billing_races;
mod bounds;
mod change_proration;
mod chaos;
mod checks;
mod client;
mod contract;
mod corrections;
mod demo;
mod draft_invoices;
mod entitlements;
mod finalize_race;
mod generate_invoice;
mod intervals;
mod invoices;
mod isolation;
mod lambda;
mod late_usage;
mod levels;
mod lifecycle;
mod local;
mod main_job;
mod migration;
mod missed_ticks;
mod naive;
mod one_off;
mod overrides;
mod passes;
mod plans;
mod preview;
mod preview_laws;
mod pricing;
mod public_invoices;
mod repeats;
mod scenarios;
mod store;
mod subscription_events;
mod taxes;
mod test_clock;
mod tidy;
mod unbillable;
mod usage;
mod usage_answers;
mod usage_audit;
mod usage_batches;
mod usage_limits;
mod usage_rejected;
