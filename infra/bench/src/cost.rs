//! What events cost in dollars, from the units they consume and AWS's prices.

use crate::report::Milli;

/// Prices in us-east-1, on demand, in dollars per million of their unit, as AWS published them on 2026-11-01; the
/// first tier of each, without the free ones.
pub mod price {
    /// HTTP API, a request.
    pub const HTTP_API_REQUEST: u64 = 1_000_000;
    /// Lambda, a request. In millionths of a dollar per million, as all of these.
    pub const LAMBDA_REQUEST: u64 = 200_000;
    /// Lambda on arm64, a GB-second: $0.0000133334.
    pub const LAMBDA_GB_SECOND: u64 = 13_333_400;
    /// SQS standard, a request of up to 64 KB.
    pub const SQS_REQUEST: u64 = 400_000;
    /// DynamoDB on demand, a write request unit.
    pub const WRITE_UNIT: u64 = 625_000;
    /// DynamoDB on demand, a read request unit.
    pub const READ_UNIT: u64 = 125_000;
}

/// What one million events need, in thousandths for each event.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Events in one request.
    pub events_per_request: u64,
    /// Read units at the door, for each request.
    pub door_reads: Milli,
    /// Milliseconds of the door's function, of 256 MB, for each request.
    pub door_millis: u64,
    /// Write units of counting, for each event.
    pub writes: Milli,
    /// Read units of counting, for each event.
    pub reads: Milli,
    /// Milliseconds of the counting function, of 512 MB, for each thousand events.
    pub count_millis_per_thousand: u64,
}

impl Needs {
    /// Dollars for one million events, in thousandths: HTTP API, Lambda, SQS and DynamoDB.
    pub fn dollars(&self) -> Milli {
        let requests_per_thousand = 1000 / self.events_per_request.max(1);
        let per_request = price::HTTP_API_REQUEST
            + price::LAMBDA_REQUEST
            + price::LAMBDA_GB_SECOND * self.door_millis / 4 / 1000
            + price::READ_UNIT * self.door_reads.0 / 1000
            // Sent one by one; received and deleted ten at a time.
            + price::SQS_REQUEST
            + price::SQS_REQUEST * 2 / 10;
        let per_thousand_events = price::WRITE_UNIT * self.writes.0
            + price::READ_UNIT * self.reads.0
            + price::LAMBDA_GB_SECOND * self.count_millis_per_thousand / 2 / 1000;
        Milli((per_request * requests_per_thousand + per_thousand_events) / 1_000_000)
    }
}
