//! Migration of a plan's subscriptions to another version of its prices, page by page. What it would cost
//! each of them can be previewed.

use auth::Actor;
use chrono::{DateTime, SubsecRound, Utc};
use domain::{
    id::{CustomerId, PlanId, SubscriptionId},
    migration::{Migration, Verdict},
    proration::ProrationPolicy,
    subscription::Subscription,
    user::Scope,
};
use futures::{StreamExt, TryStreamExt, stream};
use store::{Page, StoreError};

use crate::{
    AppError, Platform,
    change_subscription::{Asked, Terms, change_read, coming, counts_from, supposed},
    close_period::plans_of,
    preview::PreviewedInvoice,
};

/// The most subscriptions that one call looks at.
pub const SUBSCRIPTIONS_MAX: usize = 100;

/// How many of them it looks at at a time.
const AT_A_TIME: usize = 8;

/// How often a subscription is looked at again that others change at the same time.
const ATTEMPTS_MAX: u32 = 20;

/// How many invoices a preview shows of each.
const INVOICES: usize = 2;

/// What is asked of a plan's subscriptions.
pub struct Asking {
    /// Only those on this version of the plan's prices; on any, if not given.
    pub from: Option<u32>,
    /// The version they go to; the newest, if not given.
    pub to: Option<u32>,
    /// From when on, and how it is settled.
    pub terms: Terms,
    /// Which of them.
    pub which: Which,
}

/// Which subscriptions of a plan.
pub enum Which {
    /// These.
    Given(Vec<SubscriptionId>),
    /// All, so many of them after a place in their order.
    All {
        /// What an earlier call gave.
        after: Option<SubscriptionId>,
        /// How many at most.
        size: usize,
    },
}

/// What a migration meant for some subscriptions.
pub struct Migrated {
    /// From what to what.
    pub migration: Migration,
    /// The subscriptions, each with what it meant.
    pub rows: Vec<Row>,
    /// Leads to the next, if there are more.
    pub next_cursor: Option<String>,
}

/// What a migration means for one subscription.
pub struct Row {
    /// Which.
    pub id: SubscriptionId,
    /// Of whom.
    pub customer: CustomerId,
    /// The version it was on.
    pub from: u32,
    /// When it goes over, if it does.
    pub at: Option<DateTime<Utc>>,
    /// How it is settled.
    pub proration: ProrationPolicy,
    /// What it means.
    pub outcome: Outcome,
    /// What it is invoiced next without the migration, and with it: in a preview of one that goes over.
    pub invoices: Option<(Vec<PreviewedInvoice>, Vec<PreviewedInvoice>)>,
    /// Why that cannot be computed.
    pub unbilled: Option<String>,
}

/// What became of a subscription.
pub enum Outcome {
    /// As was decided.
    Decided(Verdict),
    /// It cannot be changed so.
    Refused(String),
}

/// Migrates subscriptions of a plan. Doing it again changes nothing.
///
/// Errors: `Invalid` if there is no such version, or something else that is named does not exist.
pub async fn migrate(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    asking: Asking,
) -> Result<Migrated, AppError> {
    actor.require(Scope::BillingWrite)?;
    let migration = migration(platform, actor, plan, &asking).await?;
    let (found, terms) = (found(platform, actor, plan, asking.which).await?, asking.terms);
    each(migration, found, |subscription| migrated(platform, actor, migration, subscription, terms)).await
}

/// What [`migrate`] would do, and what each subscription would be invoiced. Nothing is stored.
///
/// Errors: as for [`migrate`].
pub async fn preview(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    asking: Asking,
) -> Result<Migrated, AppError> {
    actor.require(Scope::BillingRead)?;
    let migration = migration(platform, actor, plan, &asking).await?;
    let (found, terms) = (found(platform, actor, plan, asking.which).await?, asking.terms);
    each(migration, found, |subscription| previewed(platform, actor, migration, subscription, terms)).await
}

async fn migration(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    asking: &Asking,
) -> Result<Migration, AppError> {
    let newest = platform.store.get_plan(actor.organization, plan).await?.plan.price_version;
    let to = asking.to.unwrap_or(newest);
    for (field, version) in [("to_version", Some(to)), ("from_version", asking.from)] {
        if version.is_some_and(|version| !(1..=newest).contains(&version)) {
            return Err(AppError::invalid(
                field,
                format!("must be a version of the plan, from 1 to {newest}"),
            ));
        }
    }
    Ok(Migration { plan, from: asking.from, to })
}

/// The subscriptions that are looked at.
async fn found(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    which: Which,
) -> Result<Page<Subscription>, AppError> {
    let (ids, is_given, next_cursor) = match which {
        Which::Given(ids) => (ids, true, None),
        Which::All { after, size } => {
            let page = platform.store.list_plan_uses(actor.organization, plan, after, size).await?;
            (page.rows, false, page.next_cursor)
        }
    };
    let read = stream::iter(ids.into_iter().enumerate()).map(|(index, id)| async move {
        match platform.store.get_subscription(actor.organization, id).await {
            Ok(subscription) => Ok(Some(subscription)),
            Err(StoreError::NotFound(_)) if is_given => {
                Err(AppError::invalid(format!("subscription_ids[{index}]"), "names no subscription"))
            }
            Err(StoreError::NotFound(_)) => Ok(None), // deleted meanwhile
            Err(error) => Err(error.into()),
        }
    });
    let rows = read.buffered(AT_A_TIME).try_collect::<Vec<_>>().await?;
    let rows = rows.into_iter().flatten().collect::<Vec<_>>();
    Ok(Page { total: rows.len(), rows, next_cursor })
}

async fn each<F: Future<Output = Result<Row, AppError>>>(
    migration: Migration,
    found: Page<Subscription>,
    row: impl Fn(Subscription) -> F,
) -> Result<Migrated, AppError> {
    let rows = stream::iter(found.rows).map(row).buffered(AT_A_TIME).try_collect().await?;
    Ok(Migrated { migration, rows, next_cursor: found.next_cursor })
}

async fn migrated(
    platform: &Platform,
    actor: &Actor,
    migration: Migration,
    mut subscription: Subscription,
    terms: Terms,
) -> Result<Row, AppError> {
    for _ in 0..ATTEMPTS_MAX {
        let row = decided(platform, migration, &subscription, terms)?;
        if row.at.is_none() {
            return Ok(row);
        }
        match change_read(platform, actor, &subscription, Asked::Version(migration.to), terms).await {
            Ok(_) => return Ok(row),
            Err(error) if error.is_changed_meanwhile() => {
                subscription = platform.store.get_subscription(actor.organization, subscription.id).await?;
            }
            Err(error) => return refused(row, error),
        }
    }
    Err(AppError::Unavailable("the subscription is changed again and again".into()))
}

async fn previewed(
    platform: &Platform,
    actor: &Actor,
    migration: Migration,
    subscription: Subscription,
    terms: Terms,
) -> Result<Row, AppError> {
    let row = decided(platform, migration, &subscription, terms)?;
    if row.at.is_none() {
        return Ok(row);
    }
    let (changed, plans) =
        match supposed(platform, actor, &subscription, &Asked::Version(migration.to), terms).await {
            Ok(changed) => changed,
            Err(error) => return refused(row, error),
        };
    let before = plans_of(platform, actor.organization, &subscription).await?;
    let invoices = async {
        let before = coming(platform, actor, &subscription, &before, INVOICES).await?;
        Ok::<_, AppError>((before, coming(platform, actor, &changed, &plans, INVOICES).await?))
    };
    match invoices.await {
        Ok(invoices) => Ok(Row { invoices: Some(invoices), ..row }),
        // One that cannot be computed hides none of the others.
        Err(error) if error.is_cannot_be_billed() => Ok(Row { unbilled: Some(error.to_string()), ..row }),
        Err(error) => Err(error),
    }
}

fn decided(
    platform: &Platform,
    migration: Migration,
    subscription: &Subscription,
    terms: Terms,
) -> Result<Row, AppError> {
    let now = platform.now().trunc_subsecs(3);
    let at = counts_from(subscription, terms.when, now)?;
    let verdict = migration.verdict(subscription, at, now);
    Ok(Row {
        id: subscription.id,
        customer: subscription.customer,
        from: subscription.price_version,
        proration: terms.proration.unwrap_or_default().over(subscription.proration),
        at: Some(at).filter(|_| verdict == Verdict::Migrates),
        outcome: Outcome::Decided(verdict),
        invoices: None,
        unbilled: None,
    })
}

/// A subscription that cannot be changed so keeps none of the others from it.
fn refused(row: Row, error: AppError) -> Result<Row, AppError> {
    match error {
        AppError::Invalid(_) | AppError::Conflict { .. } => {
            Ok(Row { at: None, outcome: Outcome::Refused(error.to_string()), ..row })
        }
        AppError::NotFound(_)
        | AppError::Unauthenticated(_)
        | AppError::Forbidden(_)
        | AppError::Unavailable(_)
        | AppError::Internal(_) => Err(error),
    }
}
