//! What became of one event: was it counted, and where.

use auth::Actor;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use domain::{
    event::{Event, Revision, UsageEvent},
    head::Head,
    id::{CustomerId, EventId, OrganizationId},
    meter::Meter,
    month::Month,
    property::Properties,
    quantity::Quantity,
    revision::visible_of,
    series::Range,
    user::Scope,
};
use store::HeadId;

use crate::{
    AppError, Platform,
    fold_usage::check_searched,
    track_usage::{CustomerRef, MeterRef, event_id_of, find_customer, get_read_meter},
    usage_log::{EventState, state_of},
};

/// Names an event.
#[derive(Clone, Debug)]
pub struct EventName {
    /// What counts it.
    pub meter: MeterRef,
    /// Who used it.
    pub customer: CustomerRef,
    /// Its key.
    pub key: String,
    /// Its timestamp, where that is known.
    pub timestamp: Option<DateTime<Utc>>,
}

/// An event that was found.
pub struct FoundEvent {
    /// The meter.
    pub meter: Meter,
    /// The customer.
    pub customer: CustomerId,
    /// The id of all events of the key.
    pub id: EventId,
    /// The member, if there is one.
    pub member: Option<FoundMember>,
    /// What was told under the same key and not counted.
    pub uncounted: Vec<(UsageEvent, EventState)>,
}

/// A member of a head.
pub struct FoundMember {
    /// As it was told first.
    pub event: UsageEvent,
    /// What became of it.
    pub state: EventState,
    /// Its corrections, the latest last.
    pub corrections: Vec<UsageEvent>,
    /// The month and day it counts in.
    pub month: Month,
    /// Whether it is in a segment; else it is still among the newest.
    pub is_sealed: bool,
    /// Whether it was asked for under another timestamp: what was told then is a repeat.
    pub is_repeat: bool,
}

/// What became of the event of that name.
///
/// Errors: `NotFound` if its meter or customer is unknown.
pub async fn find(platform: &Platform, actor: &Actor, name: &EventName) -> Result<FoundEvent, AppError> {
    actor.require(Scope::UsageRead)?;
    let meter = get_read_meter(platform, actor, &name.meter).await?;
    let customer = find_customer(platform, actor, &name.customer).await?;
    let organization = actor.organization;
    let id = event_id_of((organization, meter.id, customer), &name.key);
    let uncounted = platform.store.list_uncounted_of(organization, id).await?;
    let uncounted = uncounted.into_iter().map(|found| (found.event, state_of(found.why))).collect();
    let member = find_member(platform, organization, &meter, customer, name).await?;
    Ok(FoundEvent { meter, customer, id, member, uncounted })
}

async fn find_member(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    customer: CustomerId,
    name: &EventName,
) -> Result<Option<FoundMember>, AppError> {
    let asked = name.timestamp.map(|at| at.trunc_subsecs(3));
    let pinned = platform.store.find_pin((organization, meter.id, customer), &name.key).await?;
    let head_of = |month| HeadId { organization, meter: meter.id, customer, month };
    for at in asked.into_iter().chain(pinned) {
        let id = head_of(Month::of(at));
        let head = platform.store.get_head(id).await?;
        if let Some(found) = member_at(platform, id, &head, meter, &name.key, at).await? {
            return Ok(Some(FoundMember { is_repeat: asked.is_some_and(|asked| asked != at), ..found }));
        }
    }
    if asked.is_some() || pinned.is_some() {
        return Ok(None);
    }
    // Nobody knows when it was: its key was made when it was accepted.
    let months = platform.store.list_months(organization, meter.id).await?;
    let ids = months.into_iter().rev().map(head_of).collect::<Vec<_>>();
    let heads = platform.store.get_heads(&ids).await?;
    check_searched(heads.values())?;
    for (id, head) in heads.into_iter().rev() {
        let Some((first, last)) = head.span() else { continue };
        let range = Range { from: first, until: last + TimeDelta::milliseconds(1) };
        let is_named = |event: &&UsageEvent| event.revision == Revision::First && event.key == name.key;
        let mut found = head.tail.iter().find(is_named).map(|event| event.occurred_at);
        platform
            .store
            .visit_members::<AppError>(id, &head, &[range], |row| {
                if found.is_none() && row.has_key(&name.key) {
                    found = Some(row.occurred_at());
                }
                Ok(())
            })
            .await?;
        if let Some(at) = found {
            return member_at(platform, id, &head, meter, &name.key, at).await;
        }
    }
    Ok(None)
}

/// The member of that key and timestamp.
async fn member_at(
    platform: &Platform,
    id: HeadId,
    head: &Head,
    meter: &Meter,
    key: &str,
    at: DateTime<Utc>,
) -> Result<Option<FoundMember>, AppError> {
    let same = |event: &&UsageEvent| event.occurred_at == at && event.key == key;
    let in_tail = head.tail.iter().filter(same).cloned().collect::<Vec<_>>();
    let probe = [UsageEvent {
        key: key.to_owned(),
        occurred_at: at,
        ingested_at: at,
        quantity: Quantity::ZERO,
        properties: Properties::new(),
        metadata: Properties::new(),
        revision: Revision::First,
    }];
    let lookup = Head { tail: Vec::new(), ..head.clone() }.lookup(&probe);
    let sealed =
        if lookup.is_empty() { Vec::new() } else { platform.store.find_members(id, head, &lookup).await? };
    let is_sealed = sealed.iter().any(|event| event.revision == Revision::First);
    let all = in_tail.into_iter().chain(sealed).collect::<Vec<_>>();
    let Some(event) = all.iter().find(|event| event.revision == Revision::First).cloned() else {
        return Ok(None);
    };
    let state = match visible_of(&all) {
        None => EventState::Voided,
        Some(counted) if !meter.counting().includes(counted) => EventState::Filtered,
        Some(counted) if counted.revision != Revision::First => {
            EventState::Replaced(Box::new(counted.clone()))
        }
        Some(_) => EventState::Counted,
    };
    let mut corrections = all;
    corrections.retain(|event| event.revision != Revision::First);
    corrections.sort_by_key(|event| event.revision.correction());
    Ok(Some(FoundMember { event, state, corrections, month: id.month, is_sealed, is_repeat: false }))
}
