//! What `make bench` is made of: a platform on an embedded DynamoDB whose every request is counted, traffic to
//! put through it, and what the same traffic costs elsewhere.

pub mod baseline;
pub mod cost;
pub mod engine;
pub mod latency;
pub mod report;
pub mod rig;
pub mod traffic;
