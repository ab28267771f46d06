//! Entitlements: what plans grant of features, what single subscriptions have otherwise, and what a customer
//! may use by all of them.

use std::collections::BTreeMap;

use auth::Actor;
use domain::{
    entitlement::{Entitlement, Grant, GrantChanges, GrantError, GrantOverride, PlanFeature},
    feature::{Feature, FeatureType},
    id::{CustomerId, FeatureId, MeterId, OrganizationId, PlanId, SubscriptionId},
    period::BillingPeriod,
    series::Range,
    subscription::Subscription,
    user::Scope,
};
use futures::future::{try_join, try_join_all};
use rust_decimal::Decimal;
use store::{Page, PageRequest, SubscribedCustomer, if_there};

use crate::{AppError, Platform, read_usage};

/// What a plan or a subscription grants of a feature.
pub struct Granted {
    /// The feature.
    pub feature: Feature,
    /// What is granted of it.
    pub grant: Grant,
    /// Whether a subscription has it otherwise than its plan.
    pub is_overridden: bool,
}

/// What may be used of a feature, and how much was.
pub struct Allowance {
    /// The feature.
    pub feature: Feature,
    /// What may be used.
    pub entitlement: Entitlement,
    /// How much was used in its window; `None` for a feature that is not counted.
    pub used: Option<Decimal>,
    /// How much of the window before may be used in this one.
    pub rolled_over: Decimal,
}

/// Who is asked about.
#[derive(Clone, Debug)]
pub enum Whose {
    /// The customer of this id.
    Id(CustomerId),
    /// The customer that its organization calls so.
    ExternalId(String),
}

/// Adds a feature to a plan. Subscriptions to it have it from now on.
///
/// Errors: `Invalid` if the feature does not exist or cannot be granted so; `Conflict` if the plan has it.
pub async fn add_to_plan(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    feature: FeatureId,
    changes: GrantChanges,
) -> Result<Granted, AppError> {
    actor.require(Scope::BillingWrite)?;
    platform.store.get_plan(actor.organization, plan).await?;
    let feature = find_feature(platform, actor.organization, feature).await?;
    let feature = feature.ok_or_else(|| AppError::invalid("feature_id", "names no feature"))?;
    let grant = checked(Grant::default().changed(&changes), &feature)?;
    let added =
        PlanFeature { feature: feature.id, grant: grant.clone(), created_at: platform.now(), version: 0 };
    let change = platform.change(actor.organization, actor.name());
    platform.store.create_plan_feature(&change, plan, &added).await?;
    Ok(Granted { feature, grant, is_overridden: false })
}

/// Changes what a plan grants of a feature. Errors: `Invalid` if it cannot be granted so.
pub async fn change_in_plan(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    feature: FeatureId,
    changes: GrantChanges,
) -> Result<Granted, AppError> {
    actor.require(Scope::BillingWrite)?;
    let before = get_plan_feature(platform, actor, plan, feature).await?;
    let feature = platform.store.get_feature(actor.organization, feature).await?;
    let grant = checked(before.grant.clone().changed(&changes), &feature)?;
    let after = PlanFeature { grant: grant.clone(), ..before };
    let change = platform.change(actor.organization, actor.name());
    platform.store.update_plan_feature(&change, plan, &after).await?;
    Ok(Granted { feature, grant, is_overridden: false })
}

/// Takes a feature from a plan, and so from its subscriptions.
pub async fn remove_from_plan(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    feature: FeatureId,
) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let before = get_plan_feature(platform, actor, plan, feature).await?;
    let change = platform.change(actor.organization, actor.name());
    Ok(platform.store.delete_plan_feature(&change, plan, &before).await?)
}

async fn get_plan_feature(
    platform: &Platform,
    actor: &Actor,
    plan: PlanId,
    feature: FeatureId,
) -> Result<PlanFeature, AppError> {
    let found = platform.store.find_plan_feature(actor.organization, plan, feature).await?;
    found.ok_or(AppError::NotFound("feature of the plan"))
}

/// What a plan grants, in the order it was added.
pub async fn of_plan(platform: &Platform, actor: &Actor, plan: PlanId) -> Result<Vec<Granted>, AppError> {
    actor.require(Scope::BillingRead)?;
    let features = platform.store.list_plan_features(actor.organization, plan).await?;
    let granted = features.into_iter().map(|granted| async move {
        let feature = find_feature(platform, actor.organization, granted.feature).await?;
        let granted = |feature| Granted { feature, grant: granted.grant, is_overridden: false };
        Ok::<_, AppError>(feature.map(granted))
    });
    Ok(try_join_all(granted).await?.into_iter().flatten().collect())
}

/// Whether any plan grants a feature.
pub(crate) async fn is_granted(
    platform: &Platform,
    actor: &Actor,
    feature: FeatureId,
) -> Result<bool, AppError> {
    for plan in crate::plans::all(platform, actor).await? {
        if platform.store.find_plan_feature(actor.organization, plan.id, feature).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives a subscription something of a feature otherwise than its plan, or that its plan does not have. What
/// is left out follows the plan.
///
/// Errors: `Invalid` if it cannot be granted so.
pub async fn override_grant(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    feature: FeatureId,
    changes: GrantChanges,
) -> Result<Granted, AppError> {
    actor.require(Scope::BillingWrite)?;
    let organization = actor.organization;
    let subscription = platform.store.get_subscription(organization, id).await?;
    let feature = platform.store.get_feature(organization, feature).await?;
    let of_plan = platform.store.find_plan_feature(organization, subscription.plan, feature.id).await?;
    let grant = of_plan.map(|of_plan| of_plan.grant).unwrap_or_default();
    let grant = checked(grant.changed(&changes), &feature)?;
    let owner = (subscription.customer, subscription.id);
    let change = platform.change(organization, actor.name());
    let grant_override = GrantOverride { feature: feature.id, changes };
    platform.store.put_grant_override(&change, owner, &grant_override).await?;
    Ok(Granted { feature, grant, is_overridden: true })
}

/// Lets a subscription have a feature as its plan grants it again.
///
/// Errors: `NotFound` if it has not otherwise.
pub async fn delete_override(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    feature: FeatureId,
) -> Result<(), AppError> {
    actor.require(Scope::BillingWrite)?;
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    let owner = (subscription.customer, subscription.id);
    let found = platform.store.find_grant_override(actor.organization, owner, feature).await?;
    found.ok_or(AppError::NotFound("override"))?;
    let change = platform.change(actor.organization, actor.name());
    Ok(platform.store.delete_grant_override(&change, owner, feature).await?)
}

/// What a subscription grants: its plan's features and its own.
pub async fn granted_by(
    platform: &Platform,
    actor: &Actor,
    subscription: &Subscription,
) -> Result<Vec<Granted>, AppError> {
    let grants = grants_of(platform, actor.organization, subscription).await?;
    let granted = grants.into_iter().map(|(feature, (grant, is_overridden))| async move {
        let feature = find_feature(platform, actor.organization, feature).await?;
        Ok::<_, AppError>(feature.map(|feature| Granted { feature, grant, is_overridden }))
    });
    Ok(try_join_all(granted).await?.into_iter().flatten().collect())
}

/// A feature that is granted; `None` if it was deleted, and is worth nothing to anybody any more.
pub(crate) async fn find_feature(
    platform: &Platform,
    organization: OrganizationId,
    feature: FeatureId,
) -> Result<Option<Feature>, AppError> {
    Ok(if_there(platform.store.get_feature(organization, feature).await)?)
}

/// What may be used by one subscription alone.
pub async fn of_subscription(
    platform: &Platform,
    actor: &Actor,
    id: SubscriptionId,
    page: &PageRequest,
) -> Result<Page<Allowance>, AppError> {
    actor.require(Scope::UsageRead)?;
    let subscription = platform.store.get_subscription(actor.organization, id).await?;
    allowances(platform, actor, subscription.customer, vec![subscription], page).await
}

/// What a customer may use by all its subscriptions.
pub async fn of_customer(
    platform: &Platform,
    actor: &Actor,
    customer: CustomerId,
    page: &PageRequest,
) -> Result<Page<Allowance>, AppError> {
    actor.require(Scope::UsageRead)?;
    platform.store.get_customer(actor.organization, customer).await?;
    let subscriptions = entitled(platform, actor.organization, customer).await?;
    allowances(platform, actor, customer, subscriptions, page).await
}

/// What a customer may use of one feature.
///
/// Errors: `NotFound` if there is no such customer or feature. One that is not granted is not allowed.
pub async fn check(
    platform: &Platform,
    actor: &Actor,
    whose: Whose,
    lookup_key: &str,
) -> Result<Allowance, AppError> {
    actor.require(Scope::UsageRead)?;
    let organization = actor.organization;
    let customer = async {
        match whose {
            Whose::Id(id) => Ok(platform.store.get_subscribed_customer(organization, id).await?),
            Whose::ExternalId(external_id) => platform.customer_called(organization, &external_id).await,
        }
    };
    let feature = platform.feature_called(organization, lookup_key);
    let (customer, feature) = try_join(customer, feature).await?;
    let SubscribedCustomer { customer, subscriptions, overrides } = customer;
    let now = platform.now();
    let entitled = subscriptions.into_iter().filter(|subscription| subscription.is_entitled(now));
    let grants = entitled.map(|subscription| {
        let is_own = |(of, own): &&(SubscriptionId, GrantOverride)| {
            *of == subscription.id && own.feature == feature.id
        };
        let own = overrides.iter().find(is_own).map(|(_, own)| own);
        grant_of(platform, organization, subscription, feature.id, own)
    });
    let grants = try_join_all(grants).await?.into_iter().flatten().collect();
    allowance(platform, organization, customer.id, feature, grants).await
}

/// What a customer may use of one feature by some of its subscriptions.
pub(crate) async fn allowance_by(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    subscriptions: Vec<Subscription>,
    feature: Feature,
) -> Result<Allowance, AppError> {
    let grants = subscriptions.into_iter().map(|subscription| {
        let feature = feature.id;
        async move {
            let owner = (subscription.customer, subscription.id);
            let own = platform.store.find_grant_override(organization, owner, feature).await?;
            grant_of(platform, organization, subscription, feature, own.as_ref()).await
        }
    });
    let grants = try_join_all(grants).await?.into_iter().flatten().collect();
    allowance(platform, organization, customer, feature, grants).await
}

/// What a subscription grants of a feature, if anything: as its plan does, but for what it has otherwise.
async fn grant_of(
    platform: &Platform,
    organization: OrganizationId,
    subscription: Subscription,
    feature: FeatureId,
    own: Option<&GrantOverride>,
) -> Result<Option<(Subscription, Grant)>, AppError> {
    let of_plan = platform.store.find_plan_feature(organization, subscription.plan, feature).await?;
    let is_granted = of_plan.is_some() || own.is_some();
    let grant = of_plan.map(|of_plan| of_plan.grant).unwrap_or_default();
    let grant = own.into_iter().fold(grant, |grant, own| grant.changed(&own.changes));
    Ok(is_granted.then_some((subscription, grant)))
}

/// The subscriptions of a customer that may grant anything now.
async fn entitled(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
) -> Result<Vec<Subscription>, AppError> {
    let now = platform.now();
    let subscriptions = platform.store.list_subscriptions_of(organization, customer).await?;
    Ok(subscriptions.into_iter().filter(|subscription| subscription.is_entitled(now)).collect())
}

/// What a subscription grants, by feature, and whether otherwise than its plan.
async fn grants_of(
    platform: &Platform,
    organization: OrganizationId,
    subscription: &Subscription,
) -> Result<BTreeMap<FeatureId, (Grant, bool)>, AppError> {
    let owner = (subscription.customer, subscription.id);
    let of_plan = platform.store.list_plan_features(organization, subscription.plan);
    let own = platform.store.list_grant_overrides(organization, owner);
    let (of_plan, own) = try_join(of_plan, own).await?;
    let of_plan = of_plan.into_iter().map(|of_plan| (of_plan.feature, (of_plan.grant, false)));
    let mut grants = of_plan.collect::<BTreeMap<_, _>>();
    for GrantOverride { feature, changes } in own {
        let (grant, _) = grants.remove(&feature).unwrap_or_default();
        grants.insert(feature, (grant.changed(&changes), true));
    }
    Ok(grants)
}

async fn allowances(
    platform: &Platform,
    actor: &Actor,
    customer: CustomerId,
    subscriptions: Vec<Subscription>,
    page: &PageRequest,
) -> Result<Page<Allowance>, AppError> {
    let organization = actor.organization;
    let mut by_feature = BTreeMap::<FeatureId, Vec<(Subscription, Grant)>>::new();
    for subscription in subscriptions {
        for (feature, (grant, _)) in grants_of(platform, organization, &subscription).await? {
            by_feature.entry(feature).or_default().push((subscription.clone(), grant));
        }
    }
    // Newest features first, as in every list.
    let rows = by_feature.into_iter().rev().map(|(feature, grants)| (feature.to_string(), (feature, grants)));
    let page = Page::of(rows.collect(), page);
    let rows = page.rows.into_iter().map(|(feature, grants)| async move {
        match find_feature(platform, organization, feature).await? {
            Some(feature) => allowance(platform, organization, customer, feature, grants).await.map(Some),
            None => Ok::<_, AppError>(None),
        }
    });
    let rows = try_join_all(rows).await?.into_iter().flatten().collect();
    Ok(Page { rows, total: page.total, next_cursor: page.next_cursor })
}

async fn allowance(
    platform: &Platform,
    organization: OrganizationId,
    customer: CustomerId,
    feature: Feature,
    grants: Vec<(Subscription, Grant)>,
) -> Result<Allowance, AppError> {
    let entitlement = Entitlement::merged(grants, platform.now()).map_err(AppError::internal)?;
    let used_in = async |meter: MeterId, window: Option<BillingPeriod>| match window {
        Some(window) => {
            let meter = platform.known_meter(organization, meter).await?;
            let range = Range { from: window.start(), until: window.end() };
            let usage = read_usage::total_of(platform, organization, &meter, customer, range).await?;
            Ok::<_, AppError>(usage.quantity.to_decimal()?)
        }
        None => Ok(Decimal::ZERO),
    };
    match feature.feature_type {
        FeatureType::Meter { meter } => {
            let before = used_in(meter, entitlement.rolls_over_from.filter(|_| entitlement.limit.is_some()));
            let (used, before) = try_join(used_in(meter, entitlement.window), before).await?;
            let rolled_over = entitlement.rolled_over(before);
            Ok(Allowance { feature, entitlement, used: Some(used), rolled_over })
        }
        FeatureType::Switch | FeatureType::Custom => {
            Ok(Allowance { feature, entitlement, used: None, rolled_over: Decimal::ZERO })
        }
    }
}

fn checked(grant: Grant, feature: &Feature) -> Result<Grant, AppError> {
    match grant.check(feature.feature_type) {
        Ok(()) => Ok(grant),
        Err(error @ GrantError::LimitWithoutMeter) => {
            Err(AppError::invalid("usage_limit", error.to_string()))
        }
        Err(error @ (GrantError::ValueOfOther | GrantError::ValueMissing)) => {
            Err(AppError::invalid("static_value", error.to_string()))
        }
    }
}
