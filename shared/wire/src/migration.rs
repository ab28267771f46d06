//! Bodies of migrations of a plan's subscriptions to another version of its prices.

use std::collections::BTreeSet;

use app::{
    AppError, Position,
    change_subscription::Terms,
    migrate_plan::{Asking, Migrated, Outcome, Row, SUBSCRIPTIONS_MAX, Which},
    preview::PreviewedInvoice,
};
use domain::{id::SubscriptionId, invoice::LineItem, migration::Verdict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    check::Check,
    line::{LineTypeName, Origin, ShareBody},
    number::NumberOut,
    preview::Amounts,
    subscription::{ChangeProrationBody, ProrationBody},
    subscription_change::WhenName,
    tax::{TaxLineBody, TaxTreatmentName},
    time::TimeOut,
};

/// A migration of a plan's subscriptions to another version of its prices.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateBody {
    /// The version they go to; the newest if not given.
    to_version: Option<u32>,
    /// Only those on this version; on any if not given.
    from_version: Option<u32>,
    /// From when on; the end of each one's current period if not given.
    #[serde(default)]
    when: WhenName,
    /// How it is settled; as each subscription has it if not given.
    proration: Option<ChangeProrationBody>,
    /// Only these, at most 100; all of the plan if not given.
    subscription_ids: Option<Vec<String>>,
    /// Whether nothing is stored, and what it would cost is shown, as by `/migrate/preview`.
    #[serde(default)]
    preview: bool,
    /// Where to go on: `meta.next_cursor` of the call before.
    cursor: Option<String>,
    /// The most subscriptions that this call looks at, up to 100; 100 if not given.
    page_size: Option<usize>,
}

/// What a migration meant for each subscription.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigratedBody {
    /// The plan.
    pub plan_id: String,
    /// The version they go to.
    pub to_version: u32,
    /// Whether nothing was stored.
    pub preview: bool,
    /// The subscriptions.
    pub data: Vec<MigratedSubscriptionBody>,
    /// Where they are among those of the plan.
    pub meta: MigratedMeta,
}

/// Where some subscriptions are among those of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigratedMeta {
    /// The most subscriptions that were looked at.
    pub page_size: usize,
    /// Leads to the next, if there are more.
    pub next_cursor: Option<String>,
}

/// What a migration meant for a subscription.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigratedSubscriptionBody {
    /// Its id.
    pub subscription_id: String,
    /// Of whom.
    pub customer_id: String,
    /// The version it was on.
    pub from_version: u32,
    /// What became of it.
    pub verdict: MigrationVerdictName,
    /// Why, if it was refused; or why no invoices are shown, as one of them cannot be computed exactly.
    pub detail: Option<String>,
    /// When it goes over, if it does.
    pub effective_at: Option<TimeOut>,
    /// How it is settled.
    pub proration: ProrationBody,
    /// What it is invoiced next as it is, in a preview.
    pub current_invoices: Option<Vec<InvoiceTotalBody>>,
    /// What it would be invoiced, in a preview.
    pub migrated_invoices: Option<Vec<InvoiceTotalBody>>,
}

/// An invoice that would be made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceTotalBody {
    /// When.
    pub issue_date: TimeOut,
    /// The start of the period it closes, or opens.
    pub period_start: TimeOut,
    /// The first instant after that.
    pub period_end: TimeOut,
    /// How its last change is settled; else, how parts of periods are billed.
    pub proration: ProrationBody,
    /// What would be billed.
    pub lines: Vec<InvoiceTotalLineBody>,
    /// The sum of the lines, without tax.
    pub subtotal: NumberOut,
    /// Tax on it.
    pub tax: NumberOut,
    /// Each rate of tax and what it comes to.
    pub taxes: Vec<TaxLineBody>,
    /// How it would be taxed, and why.
    pub tax_treatment: TaxTreatmentName,
    /// Both.
    pub total: NumberOut,
    /// What would be taken off that of what the customer has to its credit by then.
    pub credits_applied: NumberOut,
    /// What would be to be paid.
    pub amount_due: NumberOut,
    /// What that is in.
    pub currency: String,
}

/// A line of an invoice that would be made, without the parts it is added up from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceTotalLineBody {
    /// What would be billed.
    pub description: String,
    /// Where it comes from.
    #[serde(rename = "type")]
    pub line_type: LineTypeName,
    /// The charge it comes from.
    pub charge_id: Option<String>,
    /// How much.
    pub quantity: NumberOut,
    /// Price of one, where there is one price.
    pub unit_price: Option<NumberOut>,
    /// What it costs.
    pub amount: NumberOut,
    /// What part of that is billed; null for all of it.
    pub proration: Option<ShareBody>,
    /// The start of the time it is for.
    pub period_start: Option<TimeOut>,
    /// The first instant after that.
    pub period_end: Option<TimeOut>,
}

/// What became of a subscription.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationVerdictName {
    /// It goes over; in a preview, it would.
    Migrated,
    /// It is on the version already, or was decided to be by then.
    AlreadyOnVersion,
    /// It is over.
    Canceled,
    /// Something else was decided for later: another plan or quantity, or an end. Undo it first.
    PendingChange,
    /// It is on another plan.
    NotOnPlan,
    /// It is not on `from_version`.
    OtherVersion,
    /// It cannot be changed so; `detail` says why.
    Refused,
}

impl MigrateBody {
    /// What was asked for, whether only to see what it would cost, and how many subscriptions at most.
    pub fn into_domain(self) -> Result<(Asking, bool, usize), AppError> {
        let mut check = Check::default();
        let size = self.page_size.unwrap_or(SUBSCRIPTIONS_MAX);
        if !(1..=SUBSCRIPTIONS_MAX).contains(&size) {
            check.refuse("page_size", format!("must be between 1 and {SUBSCRIPTIONS_MAX}"));
        }
        let after = self.cursor.as_deref().and_then(|cursor| {
            let place = Position::from_cursor(cursor).and_then(|position| match position {
                Position::After(place) => place.parse::<SubscriptionId>().ok(),
                Position::Number(_) => None,
            });
            check.value("cursor", place.ok_or("is no cursor of ours"))
        });
        let which = match self.subscription_ids {
            None => Which::All { after, size },
            Some(ids) => {
                if self.cursor.is_some() {
                    check.refuse("cursor", "does not go with subscription_ids");
                }
                Which::Given(given(&mut check, &ids))
            }
        };
        let proration = self.proration.map(ChangeProrationBody::into_domain);
        let terms = Terms { when: self.when.into_domain(), proration };
        let asking = Asking { from: self.from_version, to: self.to_version, terms, which };
        check.finish((asking, self.preview, size))
    }
}

fn given(check: &mut Check, ids: &[String]) -> Vec<SubscriptionId> {
    if !(1..=SUBSCRIPTIONS_MAX).contains(&ids.len()) {
        check.refuse("subscription_ids", format!("must be 1 to {SUBSCRIPTIONS_MAX}"));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let read = |(index, id): (usize, &String)| {
        let field = format!("subscription_ids[{index}]");
        let id = check.value(&field, id.parse::<SubscriptionId>())?;
        if !seen.insert(id) {
            check.refuse(field, "is there twice");
        }
        Some(id)
    };
    ids.iter().enumerate().filter_map(read).collect()
}

impl MigratedBody {
    /// The body of what a migration meant.
    ///
    /// Errors: if an invoice does not add up, which none that was computed fails to.
    pub fn from_domain(migrated: Migrated, is_preview: bool, page_size: usize) -> Result<Self, AppError> {
        let rows = migrated.rows.into_iter().map(MigratedSubscriptionBody::from_domain);
        Ok(Self {
            plan_id: migrated.migration.plan.to_string(),
            to_version: migrated.migration.to,
            preview: is_preview,
            data: rows.collect::<Result<_, _>>()?,
            meta: MigratedMeta { page_size, next_cursor: migrated.next_cursor },
        })
    }
}

impl MigratedSubscriptionBody {
    fn from_domain(row: Row) -> Result<Self, AppError> {
        let (verdict, detail) = match row.outcome {
            Outcome::Decided(verdict) => (MigrationVerdictName::from_domain(verdict), row.unbilled),
            Outcome::Refused(detail) => (MigrationVerdictName::Refused, Some(detail)),
        };
        let totals = |invoices: Vec<PreviewedInvoice>| {
            invoices.into_iter().map(InvoiceTotalBody::from_domain).collect::<Result<Vec<_>, _>>()
        };
        let (current, migrated) = row.invoices.unzip();
        Ok(Self {
            subscription_id: row.id.to_string(),
            customer_id: row.customer.to_string(),
            from_version: row.from,
            verdict,
            detail,
            effective_at: row.at.map(TimeOut),
            proration: ProrationBody::from_domain(row.proration),
            current_invoices: current.map(totals).transpose()?,
            migrated_invoices: migrated.map(totals).transpose()?,
        })
    }
}

impl InvoiceTotalBody {
    fn from_domain(invoice: PreviewedInvoice) -> Result<Self, AppError> {
        let PreviewedInvoice { at, period, proration, draft } = invoice;
        let amounts = Amounts::of(&draft)?;
        Ok(Self {
            issue_date: TimeOut(at),
            period_start: TimeOut(period.start()),
            period_end: TimeOut(period.end()),
            proration: ProrationBody::from_domain(proration),
            subtotal: amounts.subtotal,
            tax: amounts.tax,
            taxes: draft.tax.lines.iter().map(TaxLineBody::from_domain).collect(),
            tax_treatment: TaxTreatmentName::from_domain(draft.tax.treatment),
            total: amounts.total,
            credits_applied: amounts.credits_applied,
            amount_due: amounts.amount_due,
            currency: draft.currency.code().to_owned(),
            lines: draft.lines.into_iter().map(InvoiceTotalLineBody::from_domain).collect(),
        })
    }
}

impl InvoiceTotalLineBody {
    fn from_domain(line: LineItem) -> Self {
        let Origin { line_type, charge_id, .. } = Origin::from_domain(line.source);
        let period = line.period.map(|period| (TimeOut(period.start()), TimeOut(period.end())));
        let (period_start, period_end) = period.unzip();
        Self {
            description: line.description,
            line_type,
            charge_id,
            quantity: NumberOut(line.quantity),
            unit_price: line.unit_price.map(NumberOut),
            amount: NumberOut(line.amount.amount()),
            proration: line.proration.map(ShareBody::from_domain),
            period_start,
            period_end,
        }
    }
}

impl MigrationVerdictName {
    fn from_domain(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Migrates => Self::Migrated,
            Verdict::AlreadyOnVersion => Self::AlreadyOnVersion,
            Verdict::Canceled => Self::Canceled,
            Verdict::PendingChange => Self::PendingChange,
            Verdict::NotOnPlan => Self::NotOnPlan,
            Verdict::OtherVersion => Self::OtherVersion,
        }
    }
}
