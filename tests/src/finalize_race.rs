//! Finalizing while events come: each is on the invoice, or on the next one's line of late usage, never on both or
//! on neither, between whichever two requests to the tables it was counted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use app::{
    close_period,
    finalize_invoice::finalize_due,
    ingest_usage,
    plans::{self, NewCharge, NewPlan},
    read_usage::total_of,
    subscriptions::{self, NewBilling, NewSubscription},
};
use chrono::{DateTime, Months, TimeDelta, Utc};
use domain::{
    charge::{Price, Pricing, UsagePrice},
    charge_model::ChargeModel,
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, SubscriptionId},
    invoice::{Invoice, LineSource},
    meter::{Aggregation, DeduplicateBy, Meter},
    period::{BillingInterval, IntervalUnit},
    plan::PlanType,
    series::Range,
};
use fluxrate_bench::rig::Rig;
use rust_decimal::Decimal;
use testkit::{Fault, Line};

fn start() -> DateTime<Utc> {
    "2025-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn month(n: usize) -> DateTime<Utc> {
    start() + Months::new(n.try_into().unwrap())
}

/// A subscription of calls at 1 each, billed monthly.
pub(crate) struct Billed {
    pub(crate) rig: Arc<Rig>,
    meter: Meter,
    customer: CustomerId,
    pub(crate) subscription: SubscriptionId,
}

impl Billed {
    pub(crate) async fn new() -> Self {
        let rig = Rig::new(start(), Line::counting()).await.unwrap();
        let (platform, actor) = (&rig.platform, &rig.actor());
        let meter = rig.meter("calls", Aggregation::Sum, DeduplicateBy::Key).await.unwrap();
        let plan = NewPlan {
            name: "Basic".into(),
            lookup_id: Some("basic".into()),
            plan_type: PlanType::Usage,
            billing_interval: BillingInterval::new(IntervalUnit::Month, 1).unwrap(),
            currency: "EUR".parse().unwrap(),
            trial_days: 0,
            description: None,
            is_active: true,
        };
        let plan = plans::create(platform, actor, plan).await.unwrap().plan.id;
        let pricing = Pricing::of(ChargeModel::Standard { unit_price: Decimal::ONE });
        let price =
            Price::Usage(UsagePrice { meter: meter.id, interval: None, pricing, filters: Vec::new() });
        plans::add_charge(platform, actor, plan, NewCharge { display_name: None, price }).await.unwrap();
        let customer = rig.customer("acme").await.unwrap();
        let new = NewSubscription { customer, plan, overrides: Vec::new(), billing: NewBilling::default() };
        let subscription = subscriptions::create(platform, actor, new).await.unwrap().id;
        Self { rig: Arc::new(rig), meter, customer, subscription }
    }

    /// `quantity` on the second day of the month that begins at `month`.
    pub(crate) fn event(&self, month: DateTime<Utc>, quantity: usize) -> TrackedEvent {
        let at = month + TimeDelta::days(1);
        TrackedEvent {
            organization: self.rig.organization,
            meter: self.meter.id,
            customer: self.customer,
            has_sender_key: true,
            event: UsageEvent {
                key: format!("{quantity} of {month}"),
                occurred_at: at,
                ingested_at: at,
                quantity: quantity.to_string().parse().unwrap(),
                properties: Default::default(),
                metadata: Default::default(),
                revision: Revision::First,
            },
        }
    }

    pub(crate) async fn count(&self, event: TrackedEvent) {
        assert!(ingest_usage::count(&self.rig.platform, &[event]).await.iter().all(Result::is_ok));
    }

    /// Closes what ended by `now`. Returns the draft.
    pub(crate) async fn closed(&self, now: DateTime<Utc>) -> Invoice {
        self.rig.set_now(now);
        let closed = close_period::close(&self.rig.platform, self.rig.organization, self.subscription).await;
        assert_eq!(closed.unwrap(), 1);
        self.invoices().await.pop().unwrap()
    }

    /// Closes what ended by now, over a platform that may be another. Returns how many periods that were.
    pub(crate) async fn closes(&self, rig: &Rig) -> usize {
        close_period::close(&rig.platform, self.rig.organization, self.subscription).await.unwrap()
    }

    /// Oldest first.
    pub(crate) async fn invoices(&self) -> Vec<Invoice> {
        self.rig.platform.store.list_invoices_of(self.rig.organization, self.customer).await.unwrap()
    }

    /// Finalizes a draft, while `late` is counted right before the request of that number. Returns how many
    /// requests there were.
    async fn finalized(self: &Arc<Self>, draft: &Invoice, number: usize, late: TrackedEvent) -> usize {
        let sent = Arc::new(AtomicUsize::new(0));
        let (counter, other, handle) = (sent.clone(), self.clone(), tokio::runtime::Handle::current());
        let line = Line::new(move |_, _| {
            if counter.fetch_add(1, Ordering::Relaxed) == number {
                meanwhile(&handle, other.count(late.clone()));
            }
            Fault::None
        });
        let racing = self.rig.over(line);
        let done = finalize_due(&racing.platform, racing.organization, self.customer, draft.id).await;
        assert!(done.unwrap());
        sent.load(Ordering::Relaxed)
    }
}

/// Does `work` to its end, on a thread of its own: on that of the caller it would take the wake-ups that the caller
/// waits for.
pub(crate) fn meanwhile(handle: &tokio::runtime::Handle, work: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| scope.spawn(|| handle.block_on(work)).join()).unwrap();
}

/// What an invoice has of the month that begins at `month`: in time, and late.
fn of_month(invoice: &Invoice, month: DateTime<Utc>) -> (Decimal, Decimal) {
    let mut found = (Decimal::ZERO, Decimal::ZERO);
    for line in invoice.lines.iter().filter(|line| line.period.is_some_and(|period| period.start() == month))
    {
        match line.source {
            LineSource::Usage { .. } => found.0 += line.quantity,
            LineSource::LateUsage { .. } => found.1 += line.quantity,
            LineSource::Fixed { .. } | LineSource::Manual => panic!("{line:?}"),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_races_finalizing_is_billed_once() {
    let billed = Arc::new(Billed::new().await);
    let mut months = 0;
    // Month by month, the event comes one request later, until it comes when all is done.
    loop {
        let from = month(months);
        billed.rig.set_now(from + TimeDelta::days(2));
        billed.count(billed.event(from, 5)).await;
        let draft = billed.closed(month(months + 1)).await;
        billed.rig.set_now(month(months + 1) + TimeDelta::hours(2));
        let requests = billed.finalized(&draft, months, billed.event(from, 100 + months)).await;
        months += 1;
        if requests < months {
            break;
        }
    }
    // The event of the last month has not come by itself.
    billed.count(billed.event(month(months - 1), 100 + months - 1)).await;
    billed.closed(month(months + 1)).await;

    let invoices = billed.invoices().await;
    assert_eq!(invoices.len(), months + 1);
    let mut in_time = Vec::new();
    for (n, pair) in invoices.windows(2).enumerate() {
        let late = Decimal::from(100 + n);
        let found = (of_month(&pair[0], month(n)).0, of_month(&pair[1], month(n)).1);
        let is_in_time = found == (late + Decimal::from(5), Decimal::ZERO);
        assert!(is_in_time || found == (Decimal::from(5), late), "before request {n}: {found:?}");
        in_time.push(is_in_time);
    }
    let turns = in_time.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(in_time[0] && !in_time[months - 1] && turns == 1, "first in time, then late: {in_time:?}");
    let lines = invoices.iter().flat_map(|invoice| &invoice.lines).map(|line| line.quantity);
    let range = Range { from: start(), until: month(months + 1) };
    let (platform, organization) = (&billed.rig.platform, billed.rig.organization);
    let total = total_of(platform, organization, &billed.meter, billed.customer, range).await.unwrap();
    assert_eq!(lines.sum::<Decimal>(), total.quantity.to_decimal().unwrap());
}
