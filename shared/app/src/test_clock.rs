//! Test clocks: an organization in test mode moves its time, and what falls due on the way is done in order.

use std::time::{Duration, Instant};

use auth::Actor;
use chrono::{DateTime, SubsecRound, Utc};
use domain::{
    id::{Id, OrganizationId},
    test_clock::{AdvanceError, Mode, TestClock},
    user::Scope,
};
use store::{DueKind, StoreError, TestDue};

use crate::{AppError, Platform, close_period, finalize_invoice::finalize_due, overdue, watch_alerts};

/// The clock of the caller's organization; `None` if its time is the real one.
pub async fn find(platform: &Platform, actor: &Actor) -> Result<Option<TestClock>, AppError> {
    actor.require(Scope::BillingRead)?;
    match platform.mode() {
        Mode::Live => Ok(None),
        Mode::Test => Ok(platform.store.find_test_clock(actor.organization).await?),
    }
}

/// Moves the clock towards `to`, and stops at each thing that falls due on the way to do it. Once `budget` is
/// used up it stays where it is: the same call goes on from there, as it does after a failure.
///
/// Errors: `Conflict` if the organization is live, the clock is on its way elsewhere, or somebody else moves it;
/// `Invalid` if it cannot go there; or why something that is due cannot be done.
pub async fn advance(
    platform: &Platform,
    actor: &Actor,
    to: DateTime<Utc>,
    budget: Duration,
) -> Result<TestClock, AppError> {
    actor.require(Scope::BillingWrite)?;
    let (begun, organization, to) = (Instant::now(), actor.organization, to.trunc_subsecs(3));
    let clock = platform.store.find_test_clock(organization).await?.ok_or_else(|| {
        AppError::conflict("not_in_test_mode", "the organization is live: its time is the real one")
    })?;
    let clock = clock.bound_for(to).map_err(refused)?;
    let change = platform.change(organization, actor.name());
    platform.store.start_test_clock(&change, &clock).await.map_err(raced)?;
    let mut clock = moved(clock);
    while let Some(due) = platform.store.find_first_test_due(organization, to).await? {
        clock = put(platform, organization, clock.stopped_for(due.due.at)).await?;
        perform(&platform.on_test_clock(clock.now), &due).await?;
        platform.store.delete_test_due(&due).await?;
        if begun.elapsed() >= budget {
            return Ok(clock);
        }
    }
    let clock = put(platform, organization, clock.arrived()).await?;
    watch_alerts::make_due(platform, organization).await?;
    Ok(clock)
}

/// Puts the clock where it goes. Of two who move it, one gets no further.
async fn put(
    platform: &Platform,
    organization: OrganizationId,
    clock: TestClock,
) -> Result<TestClock, AppError> {
    platform.store.move_test_clock(organization, &clock).await.map_err(raced)?;
    Ok(moved(clock))
}

fn moved(clock: TestClock) -> TestClock {
    TestClock { version: clock.version + 1, ..clock }
}

/// Does what is due, as the sweeps do it. What is no longer due changes nothing.
async fn perform(platform: &Platform, TestDue { kind, due, .. }: &TestDue) -> Result<(), AppError> {
    match kind {
        DueKind::PeriodEnd => {
            close_period::close(platform, due.organization, Id::from_uuid(due.id)).await?;
        }
        DueKind::GraceEnd => {
            finalize_due(platform, due.organization, due.customer, Id::from_uuid(due.id)).await?;
        }
        DueKind::PaymentDue => {
            overdue::mark(platform, due.organization, due.customer, Id::from_uuid(due.id)).await?;
        }
        DueKind::Outbox => {} // what is to be told is told in real time
    }
    Ok(())
}

fn refused(error: AdvanceError) -> AppError {
    let detail = error.to_string();
    match error {
        AdvanceError::Backwards(_) | AdvanceError::TooFar(_) => AppError::invalid("advance_to", detail),
        AdvanceError::UnderWay(_) => AppError::conflict("clock_under_way", detail),
    }
}

fn raced(error: StoreError) -> AppError {
    match error {
        StoreError::Conflict => {
            AppError::conflict("clock_under_way", "another request is moving the clock: ask where it is")
        }
        other => other.into(),
    }
}
