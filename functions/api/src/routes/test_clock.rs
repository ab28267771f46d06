//! The clock of an organization in test mode.

use std::time::Duration;

use app::test_clock;
use wire::{
    extract::{Body, Caller},
    routes::Routes,
    test_clock::{AdvanceClockBody, TestClockBody},
};

use crate::answer::{Answer, accepted, ok};

/// How long one request moves the clock: half of what the function may take, since the last thing that it
/// begins may be a large invoice.
const BUDGET: Duration = Duration::from_secs(14);

pub(crate) fn add(routes: Routes) -> Routes {
    routes.get("/api/v1/test-clock", get).post("/api/v1/test-clock", advance)
}

async fn get(Caller { platform, actor }: Caller) -> Answer<TestClockBody> {
    let clock = test_clock::find(&platform, &actor).await?;
    ok(clock.map_or_else(|| TestClockBody::live(platform.now()), TestClockBody::from_domain))
}

/// 200 once the clock has arrived, 202 if it is still on its way.
async fn advance(
    Caller { platform, actor }: Caller,
    Body(body): Body<AdvanceClockBody>,
) -> Answer<TestClockBody> {
    let clock = test_clock::advance(&platform, &actor, body.advance_to.0, BUDGET).await?;
    let body = TestClockBody::from_domain(clock);
    if clock.advancing_to.is_some() { accepted(body) } else { ok(body) }
}
