//! What looking for late usage costs: at each close, and each time a draft is read.

use app::{
    close_period, draft_invoices,
    finalize_invoice::finalize_due,
    ingest_usage,
    invoices::{self, Move, Note},
    plans::{self, NewCharge, NewPlan},
    regenerate_invoice::{regenerate, regenerate_period},
    subscriptions::{self, NewBilling, NewSubscription},
};
use chrono::{DateTime, Months, TimeDelta, Utc};
use domain::{
    charge::{Price, PriceFilter, Pricing, UsagePrice},
    charge_model::ChargeModel,
    event::{Revision, TrackedEvent, UsageEvent},
    id::{CustomerId, SubscriptionId},
    invoice::{Invoice, InvoiceStatus, LineSource},
    invoice_draft::{DraftEdit, GivenLine},
    meter::{Aggregation, DeduplicateBy, Meter},
    period::{BillingInterval, IntervalUnit},
    plan::PlanType,
    property::{Properties, Property},
};
use fluxrate_bench::rig::Rig;
use rust_decimal::Decimal;
use testkit::Line;

/// A subscription that is billed monthly, and used `events` times a month.
struct Costly {
    rig: Rig,
    start: DateTime<Utc>,
    events: i32,
    meter: Meter,
    customer: CustomerId,
    subscription: SubscriptionId,
}

/// Read units of the core and the usage table.
type Units = (u64, u64);

impl Costly {
    /// From `start`, with a price by property if `is_filtered`.
    async fn new(start: &str, events: i32, is_filtered: bool) -> Self {
        let start = start.parse().unwrap();
        let rig = Rig::new(start, Line::counting()).await.unwrap();
        let (platform, actor) = (&rig.platform, &rig.actor());
        let meter = rig.meter("calls", Aggregation::Sum, DeduplicateBy::KeyAndTimestamp).await.unwrap();
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
        let pricing = |price| Pricing::of(ChargeModel::Standard { unit_price: price });
        let values = [("region".to_owned(), ["eu".to_owned()].into())].into();
        let filter = PriceFilter { values, pricing: pricing(Decimal::TWO) };
        let filters = if is_filtered { vec![filter] } else { Vec::new() };
        let pricing = pricing(Decimal::ONE);
        let price = Price::Usage(UsagePrice { meter: meter.id, interval: None, pricing, filters });
        plans::add_charge(platform, actor, plan, NewCharge { display_name: None, price }).await.unwrap();
        let customer = rig.customer("acme").await.unwrap();
        let new = NewSubscription { customer, plan, overrides: Vec::new(), billing: NewBilling::default() };
        let subscription = subscriptions::create(platform, actor, new).await.unwrap().id;
        Self { rig, start, events, meter, customer, subscription }
    }

    fn month(&self, n: u32) -> DateTime<Utc> {
        self.start + Months::new(n)
    }

    fn event(&self, at: DateTime<Utc>, key: &str) -> TrackedEvent {
        TrackedEvent {
            organization: self.rig.organization,
            meter: self.meter.id,
            customer: self.customer,
            has_sender_key: true,
            event: UsageEvent {
                key: key.to_owned(),
                occurred_at: at,
                ingested_at: at,
                quantity: "1".parse().unwrap(),
                properties: Properties::from([("region".into(), Property::Text("eu".into()))]),
                metadata: Properties::new(),
                revision: Revision::First,
            },
        }
    }

    async fn count(&self, events: &[TrackedEvent]) {
        assert!(ingest_usage::count(&self.rig.platform, events).await.iter().all(Result::is_ok));
    }

    /// Uses all of the month `n`, evenly.
    async fn used(&self, n: u32) {
        let gap = (self.month(n + 1) - self.month(n)) / self.events;
        let event = |i| self.event(self.month(n) + gap * i, &format!("{n} {i}"));
        let events = (0..self.events).map(event).collect::<Vec<_>>();
        for batch in events.chunks(100) {
            self.count(batch).await;
        }
    }

    /// Read units of `work`.
    async fn measured<T>(&self, work: impl Future<Output = T>) -> (T, Units) {
        self.rig.line.take_consumed();
        let done = work.await;
        let consumed = self.rig.line.take_consumed();
        let usage = consumed.usage_read_tenths;
        (done, ((consumed.read_tenths - usage).div_ceil(10), usage.div_ceil(10)))
    }

    async fn closed(&self, n: u32) -> (Invoice, Units) {
        self.rig.set_now(self.month(n));
        let (platform, organization) = (&self.rig.platform, self.rig.organization);
        let (closed, units) =
            self.measured(close_period::close(platform, organization, self.subscription)).await;
        assert_eq!(closed.unwrap(), 1);
        let draft = platform.store.list_invoices_of(organization, self.customer).await.unwrap().pop();
        (draft.unwrap(), units)
    }

    async fn finalized(&self, draft: &Invoice) -> Units {
        self.rig.set_now(draft.finalize_at().unwrap());
        let (platform, organization) = (&self.rig.platform, self.rig.organization);
        let (done, units) =
            self.measured(finalize_due(platform, organization, self.customer, draft.id)).await;
        assert!(done.unwrap());
        units
    }

    async fn read(&self, draft: &Invoice) -> (Invoice, Units) {
        let (platform, actor) = (&self.rig.platform, &self.rig.actor());
        let (read, units) = self.measured(invoices::get(platform, actor, draft.id)).await;
        (read.unwrap(), units)
    }

    /// What the fourth month costs that is closed, read and finalized after three that nothing is late for.
    async fn costs(&self) -> [Units; 3] {
        for n in 0..3 {
            self.used(n).await;
            let (draft, _) = self.closed(n + 1).await;
            self.finalized(&draft).await;
        }
        self.used(3).await;
        let (draft, close) = self.closed(4).await;
        let (read, reading) = self.read(&draft).await;
        assert_eq!(read.lines.len(), 1);
        [close, reading, self.finalized(&draft).await]
    }
}

/// Usage that is not late costs a look at the invoices and the heads of three bills: 3 and 3 of these units, and
/// nothing where a head is of another month still. Without what invoices say of it, it was (13, 4), (14, 4) and
/// (14, 4) by the month, (13, 18), (14, 18) and (14, 18) from the middle of a day, (13, 12), (14, 12) and (14, 12) by
/// property.
#[tokio::test]
async fn what_did_not_change_is_not_folded_again() {
    for (start, events, is_filtered, expected) in [
        ("2025-01-01T00:00:00Z", 100, false, [(9, 4), (10, 4), (11, 4)]),
        // The head of the month that the last bill ended in goes on.
        ("2025-01-10T09:30:00Z", 3000, false, [(10, 14), (11, 14), (12, 14)]),
        ("2025-01-01T00:00:00Z", 3000, true, [(9, 6), (10, 6), (11, 6)]),
    ] {
        let costs = Costly::new(start, events, is_filtered).await.costs().await;
        let within = |(found, expected): (&Units, &Units)| found.0 <= expected.0 && found.1 <= expected.1;
        assert!(costs.iter().zip(&expected).all(within), "from {start}: {costs:?}");
    }
}

/// Months of calls at 1 each, some of them late, and invoices that are voided, edited or deleted on the way.
struct Walk {
    costly: Costly,
    state: u64,
    /// How much was used in each month.
    used: Vec<u64>,
    told: u64,
}

impl Walk {
    /// One of so many.
    fn choice(&mut self, of: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % of
    }

    /// Some calls of a month.
    async fn track(&mut self, month: u32) {
        let events = (0..=self.choice(3)).map(|_| {
            self.told += 1;
            let at = self.costly.month(month) + TimeDelta::hours(1 + (self.told * 7 % 600).cast_signed());
            self.costly.event(at, &self.told.to_string())
        });
        let events = events.collect::<Vec<_>>();
        self.used[month as usize] += events.len() as u64;
        self.costly.count(&events).await;
    }

    async fn invoices(&self) -> Vec<Invoice> {
        let store = &self.costly.rig.platform.store;
        store.list_invoices_of(self.costly.rig.organization, self.costly.customer).await.unwrap()
    }

    /// The invoices that stand for each month: the last that was made of it.
    async fn standing(&self) -> Vec<Invoice> {
        let invoices = self.invoices().await;
        let ids = invoices.iter().map(|invoice| invoice.id).collect::<Vec<_>>();
        let is_last = |invoice: &Invoice| invoice.replaced_by.is_none_or(|next| !ids.contains(&next));
        invoices.into_iter().filter(is_last).collect()
    }

    fn month_of(&self, invoice: &Invoice) -> u32 {
        let start = invoice.billed.unwrap().1.start();
        (0..).find(|month| self.costly.month(*month) == start).unwrap()
    }

    /// What a draft of month `n` should bill late, by month: what was used of it, less all that has been billed.
    async fn expected(&self, n: u32) -> Vec<(DateTime<Utc>, Decimal)> {
        let standing = self.standing().await;
        let within = |months: std::ops::Range<u32>| {
            standing.iter().filter(move |one| months.contains(&self.month_of(one))).collect::<Vec<_>>()
        };
        let before = within(n.saturating_sub(3)..n);
        let later = within(n + 1..n + 4).into_iter().filter(|one| !one.is_draft()).collect::<Vec<_>>();
        if later.iter().any(|invoice| invoice.has_edited_lines) {
            return Vec::new();
        }
        let written = before.iter().rposition(|invoice| invoice.has_edited_lines);
        let before = match before.iter().any(|invoice| invoice.is_draft()) {
            true => &[],
            false => &before[written.map_or(0, |place| place + 1)..],
        };
        let billed = |month: u32, is_late: bool| {
            let invoices = before.iter().chain(&later).filter(|invoice| invoice.replaced_by.is_none());
            let lines = invoices.flat_map(|invoice| &invoice.lines);
            let start = self.costly.month(month);
            let of_it = lines.filter(|line| line.period.map(|period| period.start()) == Some(start));
            let of_it = of_it.filter(|line| is_late || matches!(line.source, LineSource::LateUsage { .. }));
            of_it.map(|line| line.quantity).sum::<Decimal>()
        };
        let late = before.iter().filter(|invoice| !matches!(invoice.status, InvoiceStatus::Void { .. }));
        let late = late.map(|invoice| {
            let month = self.month_of(invoice);
            (self.costly.month(month), Decimal::from(self.used[month as usize]) - billed(month, true))
        });
        let own = (self.costly.month(n), -billed(n, false));
        late.chain([own]).filter(|(_, quantity)| !quantity.is_zero()).collect()
    }

    /// Holds the draft of month `n` as it is read against what it should bill.
    async fn check(&self, n: u32, draft: &Invoice) {
        let (read, _) = self.costly.read(draft).await;
        let mut found = vec![(self.costly.month(n), Decimal::ZERO)];
        for line in &read.lines {
            match line.source {
                LineSource::Usage { .. } => found[0].1 += line.quantity,
                LineSource::LateUsage { .. } => found.push((line.period.unwrap().start(), line.quantity)),
                LineSource::Fixed { .. } | LineSource::Manual => panic!("{line:?}"),
            }
        }
        let mut expected = vec![(self.costly.month(n), Decimal::from(self.used[n as usize]))];
        expected.extend(self.expected(n).await);
        assert_eq!(found, expected, "month {n}");
    }

    /// One month: used, closed, perhaps late, and perhaps not kept.
    async fn step(&mut self, n: u32) {
        self.used.push(0);
        self.track(n).await;
        let (draft, _) = self.costly.closed(n + 1).await;
        self.check(n, &draft).await;
        for _ in 0..self.choice(3) {
            let month = n.saturating_sub(u32::try_from(self.choice(5)).unwrap());
            self.track(month).await;
            self.check(n, &draft).await;
        }
        let (platform, actor) = (&self.costly.rig.platform.clone(), &self.costly.rig.actor());
        match self.choice(12) {
            0 => draft_invoices::delete(platform, actor, draft.id).await.unwrap(),
            1 => _ = invoices::move_to(platform, actor, draft.id, Move::Void, &Note(None)).await.unwrap(),
            2 => {
                let (quantity, unit_price) = (Decimal::ONE, Some(Decimal::ONE));
                let line = GivenLine { description: "By hand".into(), quantity, unit_price };
                let edit = DraftEdit { lines: Some(vec![line]), ..DraftEdit::default() };
                draft_invoices::edit(platform, actor, draft.id, edit).await.unwrap();
                invoices::finalize_now(platform, actor, draft.id).await.unwrap();
            }
            3 => return, // it stays a draft until the month after
            4 => {
                self.costly.finalized(&draft).await;
                _ = invoices::move_to(platform, actor, draft.id, Move::Void, &Note(None)).await;
            }
            _ => _ = self.costly.finalized(&draft).await,
        }
        for invoice in self.invoices().await.into_iter().filter(Invoice::is_draft) {
            invoices::finalize_now(platform, actor, invoice.id).await.unwrap();
        }
        for _ in 0..self.choice(2) {
            let month = n.saturating_sub(u32::try_from(self.choice(4)).unwrap());
            self.track(month).await;
        }
        if self.choice(3) == 0 {
            let month = n.saturating_sub(u32::try_from(self.choice(4)).unwrap());
            self.make_again(month).await;
        }
    }

    /// Makes the invoice of a month again, if it is void or its draft was deleted, and perhaps voids what stands.
    async fn make_again(&mut self, month: u32) {
        let (platform, actor) = (&self.costly.rig.platform.clone(), &self.costly.rig.actor());
        let standing = self.standing().await.into_iter().find(|one| self.month_of(one) == month);
        let void = |id| invoices::move_to(platform, actor, id, Move::Void, &Note(None));
        let made = match standing {
            Some(one) if matches!(one.status, InvoiceStatus::Void { .. }) => {
                regenerate(platform, actor, one.id).await
            }
            Some(one) if matches!(one.status, InvoiceStatus::Open) => {
                void(one.id).await.unwrap();
                regenerate(platform, actor, one.id).await
            }
            Some(_) => return, // paid, of nothing
            None => {
                let (subscription, start) = (self.costly.subscription, self.costly.month(month));
                regenerate_period(platform, actor, subscription, start).await
            }
        };
        let draft = made.unwrap().invoice;
        self.check(month, &draft).await;
        self.track(month).await;
        self.check(month, &draft).await;
        match self.choice(4) {
            0 => draft_invoices::delete(platform, actor, draft.id).await.unwrap(),
            1 => _ = void(draft.id).await.unwrap(),
            _ => _ = invoices::finalize_now(platform, actor, draft.id).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn all_that_is_late_is_billed_once_whatever_invoices_say_they_have_seen() {
    for seed in 0..12 {
        // In the second half, months of usage are shared by two bills.
        let start = if seed % 2 == 0 { "2025-01-01T00:00:00Z" } else { "2025-01-10T09:30:00Z" };
        let costly = Costly::new(start, 0, seed % 3 == 0).await;
        let mut walk = Walk { costly, state: seed, used: Vec::new(), told: 0 };
        for n in 0..14 {
            walk.step(n).await;
        }
    }
}
