//! The rules of billing, and nothing else: no I/O, clock, randomness, JSON or floats.
//!
//! Every function here is a pure function of its arguments. `now`, new ids and stored state come in;
//! decisions go out, whole, for `app` to commit in one write.

pub mod alert;
pub mod charge;
pub mod charge_model;
pub mod charge_usage;
pub mod commit;
pub mod currency;
pub mod customer;
pub mod entitlement;
pub mod event;
pub mod explanation;
pub mod feature;
pub mod head;
pub mod held;
pub mod hours;
pub mod id;
pub mod invoice;
pub mod invoice_draft;
pub mod late_usage;
pub mod line_part;
pub mod meter;
pub mod money;
pub mod month;
pub mod organization;
pub mod outbox;
pub mod overdue;
pub mod period;
pub mod period_close;
pub mod plan;
pub mod property;
pub mod proration;
pub mod quantity;
pub mod rating;
pub mod revision;
pub mod schedule;
pub mod series;
pub mod subscription;
pub mod subscription_change;
pub mod tax;
pub mod tiers;
pub mod timeline;
pub mod totals;
pub mod user;
pub mod window;
pub mod zone;
