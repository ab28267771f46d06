//! Usage over a range: heads say it, and where they do not, their events are folded as they are read.

use std::collections::BTreeMap;

use domain::{
    head::Head,
    id::{CustomerId, OrganizationId},
    meter::{Aggregation, Meter},
    month::Month,
    quantity::Quantity,
    series::{Query, Range, Series, SeriesError},
    totals::Usage,
};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use store::{HeadId, Row};

use crate::{
    AppError, Platform,
    read_usage::{Question, UsageSeries},
    visit_usage::{Levels, corrections_of, levels_before},
};

/// What is asked of one meter's usage.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Whose.
    pub(crate) organization: OrganizationId,
    /// Counted by which meter.
    pub(crate) meter: &'a Meter,
    /// By one customer, or by all.
    pub(crate) customer: Option<CustomerId>,
    /// Over which range.
    pub(crate) range: Range,
    /// In which parts, and of which events.
    pub(crate) question: &'a Question,
}

/// The largest range one answer covers. A longer one is asked for in parts.
const MONTHS_MAX: usize = 37;

/// The most steps of one answer: three months of hours.
const STEPS_MAX: usize = 24 * 93;

/// The most events that one answer is folded from one by one, which takes some seconds.
const FOLDED_EVENTS_MAX: u64 = 20_000_000;

/// How often a head is read again whose totals by hour are newer: somebody sealed in between.
const SNAPSHOTS_MAX: usize = 8;

/// Customers whose usage is folded at once, where each asks for more than its heads.
const CONCURRENT_CUSTOMERS: usize = 8;

type Heads = Vec<(HeadId, Head)>;

/// Usage for somebody who waits for the answer.
///
/// Errors: `Invalid` if it is too much for one.
pub(crate) async fn answer(platform: &Platform, asked: Asked<'_>) -> Result<UsageSeries, AppError> {
    months_in(asked.range)?;
    check_steps(asked.range, asked.question)?;
    let Question { filters, group_by, .. } = asked.question;
    if asked.is_level() && (!filters.is_empty() || group_by.is_some()) {
        let field = if filters.is_empty() { "group_by" } else { "filter" };
        return Err(AppError::invalid(
            field,
            "cannot be asked of a WEIGHTED_SUM meter: its level is one number",
        ));
    }
    let heads = asked.heads(platform).await?;
    if asked.query(platform).is_by_event() {
        check_folded(platform, &heads, asked.range).await?;
    }
    fold_heads(platform, asked, heads, asked.levels(platform).await?).await
}

/// Usage, however much it is, for what cannot be refused.
pub(crate) async fn fold(platform: &Platform, asked: Asked<'_>) -> Result<UsageSeries, AppError> {
    let heads = asked.heads(platform).await?;
    fold_heads(platform, asked, heads, asked.levels(platform).await?).await
}

/// Usage by all customers over ranges that may overlap. `None` where so many events have to be looked at that nobody
/// waits for it; others are read once for all ranges.
pub(crate) async fn totals_over(
    platform: &Platform,
    organization: OrganizationId,
    meter: &Meter,
    ranges: &[Range],
) -> Result<Vec<Option<Usage>>, AppError> {
    let question = &Question::default();
    let asked = |range| Asked { organization, meter, customer: None, range, question };
    let mut totals = vec![None; ranges.len()];
    if meter.aggregation != Aggregation::UniqueCount {
        for (range, total) in ranges.iter().zip(&mut totals) {
            *total = Some(fold(platform, asked(*range)).await?.total);
        }
        return Ok(totals);
    }
    let mut counted = Vec::new();
    for (range, total) in ranges.iter().zip(&mut totals) {
        let heads = asked(*range).heads(platform).await?;
        if events_near(platform, &heads, *range).await? <= FOLDED_EVENTS_MAX {
            counted.push((*range, heads, total));
        }
    }
    let heads = counted.iter().flat_map(|(_, heads, _)| heads.iter().cloned()).collect::<BTreeMap<_, _>>();
    let share = platform.memory.share(members_of(heads.values()));
    let bytes_max = share.bytes() / counted.len().max(1);
    let series = counted.iter().map(|(range, ..)| Series::bounded(asked(*range).query(platform), bytes_max));
    let mut series = series.collect::<Vec<_>>();
    let mut under_way = series.iter_mut().collect::<Vec<_>>();
    while !under_way.is_empty() {
        for (id, head) in &heads {
            add_events(platform, *id, head, &mut under_way).await?;
        }
        under_way.retain_mut(|series| series.begins_further_pass());
    }
    for ((.., total), series) in counted.into_iter().zip(series) {
        *total = Some(series.total()?);
    }
    Ok(totals)
}

/// As [`fold`], of one customer whose heads were read before.
pub(crate) async fn fold_known(
    platform: &Platform,
    asked: Asked<'_>,
    heads: Heads,
) -> Result<UsageSeries, AppError> {
    let heads = heads.into_iter().filter(|(_, head)| head.touches(asked.range)).collect();
    fold_heads(platform, asked, heads, asked.levels(platform).await?).await
}

impl<'a> Asked<'a> {
    fn is_level(self) -> bool {
        self.meter.aggregation == Aggregation::WeightedSum
    }

    fn query(self, platform: &Platform) -> Query<'a> {
        Query {
            counting: self.meter.counting(),
            range: self.range,
            now: if self.question.holds_on { self.range.until } else { platform.now() },
            steps: self.question.steps,
            filters: &self.question.filters,
            group_by: self.question.group_by.as_deref(),
        }
    }

    /// The levels that customers had when the range began.
    async fn levels(self, platform: &Platform) -> Result<Levels, AppError> {
        let Self { organization, meter, customer, range, .. } = self;
        match self.is_level() {
            true => levels_before(platform, organization, meter, customer, range.from).await,
            false => Ok(Levels::new()),
        }
    }

    /// The heads that the range touches, as they are at this instant.
    async fn heads(self, platform: &Platform) -> Result<Heads, AppError> {
        let Self { organization, meter, customer, range, .. } = self;
        let id = |customer, month| HeadId { organization, meter: meter.id, customer, month };
        let heads = Month::in_range(range.from, range.until).map(|month| async move {
            let heads = match customer {
                Some(customer) => {
                    vec![(customer, platform.store.get_head(id(customer, month)).await?)]
                }
                None => platform.store.list_heads(organization, meter.id, month).await?,
            };
            let heads = heads.into_iter().filter(|(_, head)| head.touches(range));
            Ok::<_, AppError>(heads.map(|(customer, head)| (id(customer, month), head)).collect::<Vec<_>>())
        });
        Ok(try_join_all(heads).await?.concat())
    }
}

/// Usage of each customer who has any, for somebody who waits for the answer. The heads of all of them are read
/// by one query for each month.
///
/// Errors: as for [`answer`].
pub(crate) async fn answer_by_customer(
    platform: &Platform,
    asked: Asked<'_>,
) -> Result<Vec<(CustomerId, Usage)>, AppError> {
    months_in(asked.range)?;
    let all = asked.heads(platform).await?;
    if asked.query(platform).is_by_event() {
        check_folded(platform, &all, asked.range).await?;
    }
    let mut levels = asked.levels(platform).await?;
    let mut heads = levels.keys().map(|customer| (*customer, Vec::new())).collect::<BTreeMap<_, Heads>>();
    for (id, head) in all {
        heads.entry(id.customer).or_default().push((id, head));
    }
    let folds = heads.into_iter().map(|(customer, heads)| {
        let level = levels.remove(&customer).map(|level| (customer, level));
        async move {
            let series = fold_heads(platform, asked, heads, level.into_iter().collect()).await?;
            Ok::<_, AppError>((customer, series.total))
        }
    });
    let folds = folds.collect::<Vec<_>>();
    let mut usage: Vec<_> = stream::iter(folds).buffer_unordered(CONCURRENT_CUSTOMERS).try_collect().await?;
    usage.retain(|(_, usage)| usage.events > 0 || usage.quantity > Quantity::ZERO);
    Ok(usage)
}

async fn fold_heads(
    platform: &Platform,
    asked: Asked<'_>,
    heads: Heads,
    levels: Levels,
) -> Result<UsageSeries, AppError> {
    let query = asked.query(platform);
    let share = platform.memory.share(held_at_most(&query, &heads));
    let mut series = Series::bounded(query, share.bytes());
    loop {
        for (id, head) in &heads {
            add_head(platform, *id, head.clone(), &query, &mut series).await?;
        }
        if !series.begins_further_pass() {
            break;
        }
    }
    levels.into_iter().for_each(|(customer, level)| series.carry(customer, level));
    let groups = series.groups()?;
    let mut groups =
        groups.into_iter().map(|(value, usage)| (value.map(str::to_owned), usage)).collect::<Vec<_>>();
    groups.sort_by_key(|(_, usage)| std::cmp::Reverse(usage.quantity));
    Ok(UsageSeries {
        total: series.total()?,
        unique_customers: series.customers().len() as u64,
        steps: series.steps()?,
        groups,
    })
}

/// Of how many events something may have to be held.
fn held_at_most(query: &Query<'_>, heads: &[(HeadId, Head)]) -> u64 {
    match query.counting.aggregation {
        Aggregation::UniqueCount => members_of(heads.iter().map(|(_, head)| head)),
        Aggregation::Count
        | Aggregation::Sum
        | Aggregation::Max
        | Aggregation::Min
        | Aggregation::Last
        | Aggregation::WeightedSum => 0,
    }
}

fn members_of<'h>(heads: impl Iterator<Item = &'h Head>) -> u64 {
    heads.map(|head| head.members).fold(0, u64::saturating_add)
}

/// Takes one customer's month into several series that look at every event.
async fn add_events(
    platform: &Platform,
    id: HeadId,
    head: &Head,
    all: &mut [&mut Series<'_>],
) -> Result<(), AppError> {
    let corrections = corrections_of(platform, id, head).await?;
    let mut ranges = Vec::<Range>::new();
    let mut each = Vec::new();
    for series in all {
        let mut corrections = corrections.clone();
        series.add_head(id.customer, id.month, head, &BTreeMap::new(), &mut corrections).map_err(refused)?;
        if series.begins_slice(id.customer, head, &mut corrections).map_err(refused)? {
            ranges.extend(series.slice());
            each.push((series, corrections));
        }
    }
    let add = |row: &Row<'_>| {
        each.iter_mut()
            .try_for_each(|(series, corrections)| series.add_member(id.customer, row, corrections))
            .map_err(refused)
    };
    platform.store.visit_members::<AppError>(id, head, &ranges, add).await?;
    each.iter_mut()
        .try_for_each(|(series, corrections)| series.end_slice(id.customer, corrections))
        .map_err(refused)
}

/// Takes one customer's month into a series, as it was at one instant.
async fn add_head(
    platform: &Platform,
    id: HeadId,
    mut head: Head,
    query: &Query<'_>,
    series: &mut Series<'_>,
) -> Result<(), AppError> {
    let store = &platform.store;
    let mut hours = BTreeMap::new();
    for attempt in 0..SNAPSHOTS_MAX {
        let days = query.hours_wanted(id.month, &head);
        let found = if days.is_empty() { BTreeMap::new() } else { store.get_hours(id, days).await? };
        if found.values().all(|(version, _)| *version <= head.version) {
            hours = found.into_iter().map(|(day, (_, hours))| (day, hours)).collect();
            break;
        }
        if attempt + 1 < SNAPSHOTS_MAX {
            head = store.get_head(id).await?;
        } // else the events say it
    }
    let mut corrections = corrections_of(platform, id, &head).await?;
    series.add_head(id.customer, id.month, &head, &hours, &mut corrections).map_err(refused)?;
    while series.begins_slice(id.customer, &head, &mut corrections).map_err(refused)? {
        let ranges = series.slice().to_vec();
        store
            .visit_members::<AppError>(id, &head, &ranges, |row| {
                series.add_member(id.customer, row, &mut corrections).map_err(refused)
            })
            .await?;
        series.end_slice(id.customer, &corrections).map_err(refused)?;
    }
    Ok(())
}

fn refused(error: SeriesError) -> AppError {
    match error {
        SeriesError::Overflow(error) => error.into(),
        SeriesError::TooManyGroups => AppError::invalid("group_by", error.to_string()),
    }
}

/// The months of a range.
///
/// Errors: `Invalid` if they are too many for one answer.
pub(crate) fn months_in(range: Range) -> Result<Vec<Month>, AppError> {
    let months = Month::in_range(range.from, range.until).take(MONTHS_MAX + 1).collect::<Vec<_>>();
    if months.len() > MONTHS_MAX {
        let detail = "lies more than three years before the end: ask in parts of three years";
        return Err(AppError::invalid("start_date", detail));
    }
    Ok(months)
}

fn check_steps(range: Range, question: &Question) -> Result<(), AppError> {
    let Some(steps) = question.steps else { return Ok(()) };
    if steps.starts_in(range).take(STEPS_MAX + 1).count() > STEPS_MAX {
        let detail = format!("makes more than {STEPS_MAX} steps: ask for larger ones, or in parts");
        return Err(AppError::invalid("group_by", detail));
    }
    Ok(())
}

/// Refuses to fold so many events that nobody waits for it.
pub(crate) async fn check_folded(
    platform: &Platform,
    heads: &[(HeadId, Head)],
    range: Range,
) -> Result<(), AppError> {
    let events = events_near(platform, heads, range).await?;
    if events <= FOLDED_EVENTS_MAX {
        return Ok(());
    }
    let detail = format!(
        "begins a range of about {events} events, more than the {FOLDED_EVENTS_MAX} that one answer is \
         folded from: ask day by day, of one customer, or hour by hour within a day"
    );
    Err(AppError::invalid("start_date", detail))
}

/// About how many events have to be looked at for a range. What is not too many is told from the heads alone.
async fn events_near(platform: &Platform, heads: &[(HeadId, Head)], range: Range) -> Result<u64, AppError> {
    let by_day = heads.iter().map(|(id, head)| head.members_near(id.month, range, &BTreeMap::new()));
    let by_day = by_day.fold(0, u64::saturating_add);
    if by_day <= FOLDED_EVENTS_MAX {
        return Ok(by_day);
    }
    let mut events = 0_u64;
    for (id, head) in heads {
        let days = head.hourly_days_cut(id.month, range);
        let hours =
            if days.is_empty() { BTreeMap::new() } else { platform.store.get_hours(*id, days).await? };
        let hours = hours.into_iter().map(|(day, (_, hours))| (day, hours)).collect();
        events = events.saturating_add(head.members_near(id.month, range, &hours));
    }
    Ok(events)
}

/// Refuses to look for one event among so many that nobody waits for it.
pub(crate) fn check_searched<'a>(heads: impl IntoIterator<Item = &'a Head>) -> Result<(), AppError> {
    let events = heads.into_iter().map(|head| head.members).fold(0, u64::saturating_add);
    if events <= FOLDED_EVENTS_MAX {
        return Ok(());
    }
    let detail = format!("is needed to find one among {events} events");
    Err(AppError::invalid("timestamp", detail))
}
