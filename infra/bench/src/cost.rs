//! What events cost in dollars, from what they consume and AWS's prices.

use crate::{
    functions::{DoorWork, Work},
    report::{Milli, Report},
    usage::{Consumption, PerEvent},
};

/// Prices in us-east-1, on demand, in millionths of a dollar per million of their unit, as AWS published them on
/// 2026-11-01; the first tier of each, without the free ones.
pub mod price {
    /// HTTP API, a request.
    pub const HTTP_API_REQUEST: u64 = 1_000_000;
    /// Lambda, a request.
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

/// How far away things are, and how much of a processor a function has. Not measured here: as AWS tells, and as
/// is seen of functions near their tables.
pub mod distance {
    /// Milliseconds that a request to DynamoDB takes, there and back.
    pub const DYNAMODB_MILLIS: u64 = 5;
    /// Milliseconds that a request to SQS takes, there and back.
    pub const SQS_MILLIS: u64 = 10;
    /// A function of so many MB has one whole processor; of fewer, as much less.
    pub const WHOLE_PROCESSOR_MB: u64 = 1769;
    /// Requests to DynamoDB that counting waits for at once.
    pub const COUNTING_AT_ONCE: u64 = 16;
}

/// MB of the door's function, as `template.yaml` has it.
const DOOR_MB: u64 = 256;

/// MB of the counting function, as `template.yaml` has it.
const COUNTING_MB: u64 = 512;

/// What one million events need.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Events in one request.
    pub events_per_request: u64,
    /// What each request asks of the door.
    pub door: DoorWork,
    /// What counting consumes for each event.
    pub counting: PerEvent,
    /// Milliseconds of a processor that counting takes for each thousand events.
    pub count_processor: Milli,
    /// Messages that are received and deleted in one request.
    pub messages_per_receive: u64,
}

/// Dollars for a million events, in thousandths, by where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dollars {
    /// HTTP API.
    pub http_api: Milli,
    /// Both functions.
    pub lambda: Milli,
    /// Sending, receiving and deleting messages.
    pub sqs: Milli,
    /// Reads at the door, reads and writes of counting.
    pub dynamodb: Milli,
}

impl Needs {
    /// Dollars for one million events.
    pub fn dollars(&self) -> Dollars {
        // Millionths of a dollar for a million of something, times thousands of them for a thousand events, over
        // a thousand: what a million events cost.
        let for_requests = |millionths: u64| Milli(millionths / 1000 / self.events_per_request.max(1));
        let door_millis = lambda_millis(self.door.processor, DOOR_MB)
            + self.door.requests * distance::DYNAMODB_MILLIS
            + distance::SQS_MILLIS;
        let door = price::LAMBDA_REQUEST + gb_seconds(door_millis, DOOR_MB);
        let waited = self.counting.requests.0 * distance::DYNAMODB_MILLIS / distance::COUNTING_AT_ONCE;
        let count_millis = lambda_millis(self.count_processor, COUNTING_MB) + waited;
        let counting = gb_seconds(count_millis, COUNTING_MB) / 1000;
        let sqs = price::SQS_REQUEST + price::SQS_REQUEST * 2 / self.messages_per_receive.max(1);
        let counted = price::WRITE_UNIT * self.counting.writes.0 + price::READ_UNIT * self.counting.reads.0;
        let told = for_requests(price::READ_UNIT * self.door.reads.0 / 1000);
        Dollars {
            http_api: for_requests(price::HTTP_API_REQUEST),
            lambda: Milli(for_requests(door).0 + counting / 1000),
            sqs: for_requests(sqs),
            dynamodb: Milli(told.0 + counted / 1_000_000),
        }
    }
}

impl Dollars {
    /// All of it.
    pub fn total(&self) -> Milli {
        Milli(self.http_api.0 + self.lambda.0 + self.sqs.0 + self.dynamodb.0)
    }
}

/// Milliseconds that a function of `mb` works for what takes a whole processor `processor`.
fn lambda_millis(processor: Milli, mb: u64) -> u64 {
    (processor.0 * distance::WHOLE_PROCESSOR_MB / mb.max(1)).div_ceil(1000)
}

/// Millionths of a dollar for a million runs of `millis` with `mb`.
fn gb_seconds(millis: u64, mb: u64) -> u64 {
    price::LAMBDA_GB_SECOND * millis * mb / 1024 / 1000
}

/// Dollars per million events for each kind of traffic, one event a request and a hundred.
pub fn measure(report: &mut Report, usage: &Consumption, work: &Work) {
    report.heading("Dollars per million events: HTTP API, Lambda, SQS, DynamoDB (us-east-1, 2026-11-01)");
    let dense = (usage.dense, work.count_dense);
    let medium = (usage.medium, work.count_scattered);
    let single = (1, work.door_single);
    let hundred = (100, work.door_hundred);
    for (name, (events_per_request, door), (counting, count_processor)) in [
        ("usd_per_million_events_dense", hundred, dense),
        ("usd_per_million_events_dense_single", single, dense),
        ("usd_per_million_events_medium", hundred, medium),
        ("usd_per_million_events_medium_single", single, medium),
    ] {
        let needs = Needs { events_per_request, door, counting, count_processor, messages_per_receive: 10 };
        let dollars = needs.dollars();
        let Dollars { http_api, lambda, sqs, dynamodb } = dollars;
        let parts = format!(
            "{events_per_request} a request: HTTP API {http_api}, Lambda {lambda}, SQS {sqs}, DynamoDB {dynamodb}"
        );
        report.figure(name, dollars.total(), "USD", &parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_events_are_added_up_by_hand() {
        let needs = Needs {
            events_per_request: 1,
            // 0.5 ms of a processor are 3.46 ms of 256 MB: 4; 3 requests wait 15 ms, and SQS 10.
            door: DoorWork { processor: Milli(500), reads: Milli(2000), requests: 3 },
            // A request each, 16 at once: 312 ms for a thousand events.
            counting: PerEvent {
                writes: Milli(1200),
                reads: Milli(500),
                requests: Milli(1000),
                events: 1000,
            },
            // 100 ms of a processor are 345.5 ms of 512 MB: 346.
            count_processor: Milli(100_000),
            messages_per_receive: 10,
        };
        let dollars = needs.dollars();
        assert_eq!(dollars.http_api, Milli(1000)); // $1.00 a million
        // Door: $0.20 + 29 ms × 0.25 GB × $13.3334 a million GB-seconds = $0.0967. Counting: 0.658 ms an event
        // × 0.5 GB × $13.3334 = $0.0044.
        assert_eq!(dollars.lambda, Milli(296 + 4));
        assert_eq!(dollars.sqs, Milli(480)); // one sent at $0.40, a tenth received and deleted
        assert_eq!(dollars.dynamodb, Milli(250 + 750 + 62)); // 2 reads, 1.2 writes and 0.5 reads
        assert_eq!(dollars.total(), Milli(1000 + 300 + 480 + 1062));
        let hundred = Needs { events_per_request: 100, ..needs }.dollars();
        assert_eq!(hundred.http_api, Milli(10));
        assert_eq!(hundred.dynamodb, Milli(2 + 750 + 62));
    }
}
