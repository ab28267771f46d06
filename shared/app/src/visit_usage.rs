//! Reading events one by one: those that count, as they are read, and the levels that they lead to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{
    event::{Event, Revision, UsageEvent},
    head::Head,
    id::{CustomerId, OrganizationId},
    meter::Meter,
    month::Month,
    quantity::Quantity,
    revision::{Corrections, Visible},
    series::Range,
    totals::{Latest, Tally, Totals},
    zone::{Step, Steps},
};
use store::HeadId;

use crate::{AppError, Platform};

/// Passes every event that counts in `ranges`, which do not overlap, to `visit`: each once, corrections applied,
/// in no order, as they are read. The same heads give the same events again, whatever is counted meanwhile.
///
/// Errors: those of the store, and of `visit`.
pub(crate) async fn visit_counted(
    platform: &Platform,
    heads: &[(HeadId, Head)],
    ranges: &[Range],
    mut visit: impl FnMut(&UsageEvent) -> Result<(), AppError> + Send,
) -> Result<(), AppError> {
    let is_inside = |at: DateTime<Utc>| ranges.iter().any(|range| range.contains(at));
    for (id, head) in heads {
        let mut corrections = corrections_of(platform, *id, head).await?;
        let tail = head.tail.iter().filter(|event| event.revision == Revision::First);
        for event in tail.filter(|event| is_inside(event.occurred_at)) {
            match corrections.visible(event) {
                Visible::Itself(event) | Visible::Replacement(event) => visit(event)?,
                Visible::Nothing => {}
            }
        }
        let month = Range { from: id.month.start(), until: id.month.end() };
        let inside = ranges.iter().filter_map(|range| range.intersection(month)).collect::<Vec<_>>();
        platform
            .store
            .visit_members::<AppError>(*id, head, &inside, |row| {
                if !is_inside(row.occurred_at()) {
                    return Ok(());
                }
                match corrections.visible(row) {
                    Visible::Itself(row) => visit(&row.to_event()),
                    Visible::Replacement(event) => visit(event),
                    Visible::Nothing => Ok(()),
                }
            })
            .await?;
        for event in corrections.unmet().filter(|event| is_inside(event.occurred_at)) {
            visit(event)?;
        }
    }
    Ok(())
}

/// The corrections of a head.
pub(crate) async fn corrections_of(
    platform: &Platform,
    id: HeadId,
    head: &Head,
) -> Result<Corrections, AppError> {
    if head.corrections == 0 {
        return Ok(Corrections::default());
    }
    let sealed = platform.store.list_corrections(id, head).await?;
    Ok(Corrections::among(sealed.iter().chain(&head.tail)))
}

/// Levels of customers.
pub(crate) type Levels = BTreeMap<CustomerId, Quantity>;

/// The levels that one customer, or all, had at `from`.
pub(crate) async fn levels_before(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    customer: Option<CustomerId>,
    from: DateTime<Utc>,
) -> Result<Levels, AppError> {
    let month = Month::of(from);
    let months = platform.store.list_months(organization, meter.id).await?;
    let mut known = Levels::new();
    for month in months.into_iter().rev().filter(|other| *other <= month) {
        let heads = match customer {
            Some(customer) => {
                let id = HeadId { organization, meter: meter.id, customer, month };
                vec![(customer, platform.store.get_head(id).await?)]
            }
            None => platform.store.list_heads(organization, meter.id, month).await?,
        };
        for (customer, head) in heads {
            if known.contains_key(&customer) {
                continue;
            }
            let id = HeadId { organization, meter: meter.id, customer, month };
            if let Some(level) = level_before(platform, id, &head, meter, from).await? {
                known.insert(customer, level);
            }
        }
        if customer.is_some() && !known.is_empty() {
            break;
        }
    }
    Ok(known)
}

/// The level that a head's month leads to at `at`; `None` if nothing in it lies before.
async fn level_before(
    platform: &Platform,
    id: HeadId,
    head: &Head,
    meter: &Meter,
    at: DateTime<Utc>,
) -> Result<Option<Quantity>, AppError> {
    let last = |totals: &Totals| match totals.tally {
        Tally::Held(held) => held.map(|held| held.last),
        Tally::Count | Tally::Sum(_) | Tally::Max(_) | Tally::Min(_) | Tally::Last(_) | Tally::Unique => None,
    };
    let day_of = Steps::utc(Step::Day).start_of(at);
    let earlier = head.days.iter().filter(|(day, _)| id.month.day_start(**day) < day_of);
    let mut latest = earlier.filter_map(|(_, totals)| last(totals)).max();
    let cut = Range { from: day_of, until: at };
    if day_of < at && head.touches(cut) {
        let heads = [(id, head.clone())];
        visit_counted(platform, &heads, &[cut], |event| {
            if meter.counting().includes(event) {
                latest = latest.max(Some(Latest::of(event)));
            }
            Ok(())
        })
        .await?;
    }
    Ok(latest.map(|latest| latest.quantity))
}

/// A member of a head, with what counts in its place.
pub(crate) struct Member {
    /// As it was told first.
    pub(crate) event: UsageEvent,
    /// Itself, its latest correction, or nothing if that took it back.
    pub(crate) counted: Option<UsageEvent>,
}

/// The members of a head that occurred in `range`, which should be a short one: all are held at once.
pub(crate) async fn members_in(
    platform: &Platform,
    id: HeadId,
    head: &Head,
    range: Range,
) -> Result<Vec<Member>, AppError> {
    let mut corrections = corrections_of(platform, id, head).await?;
    let mut members = Vec::new();
    let mut add = |event: UsageEvent| {
        let counted = match corrections.visible(&event) {
            Visible::Itself(event) | Visible::Replacement(event) => Some(event.clone()),
            Visible::Nothing => None,
        };
        members.push(Member { event, counted });
    };
    let tail = head.tail.iter().filter(|event| event.revision == Revision::First);
    tail.filter(|event| range.contains(event.occurred_at)).cloned().for_each(&mut add);
    platform
        .store
        .visit_members::<AppError>(id, head, &[range], |row| {
            if range.contains(row.occurred_at()) {
                add(row.to_event());
            }
            Ok(())
        })
        .await?;
    Ok(members)
}
