//! The audit of usage: every total once more from the events themselves, beside what is stored, and whatever lies
//! where nothing leads to it.

mod examined;
mod recount;

use domain::{
    head::Head,
    id::{CustomerId, MeterId, OrganizationId},
    meter::Meter,
    month::Month,
};
use store::{CommitOutcome, HeadId, PageRequest, Position, Store, StoreError, UsageFound};

use crate::AppError;

use self::examined::{Examined, examine};

/// What the audit of one organization has looked at, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Customers' months.
    pub heads: u64,
    /// Events, each once.
    pub events: u64,
    /// Events and corrections that totals have, and that are not there any more.
    pub lost: u64,
    /// Everything that is not as the events say.
    pub findings: Vec<Finding>,
    /// Meters that are gone from before they were kept when deleted: nobody knows how their events are counted.
    pub unknown_meters: Vec<MeterId>,
}

/// Something that is not as the events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which meter.
    pub meter: MeterId,
    /// Whose; `None` if it is not about one customer.
    pub customer: Option<CustomerId>,
    /// In which month.
    pub month: Month,
    /// What is wrong, for people.
    pub what: String,
    /// Whether it was put right.
    pub is_repaired: bool,
}

/// What the audit may do about what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repairs {
    /// Nothing.
    #[default]
    None,
    /// Put right what the events say, where none of them is lost: totals that are made to agree with fewer events
    /// would hide that.
    WithoutLoss,
    /// Put right what the events that are left say.
    AcceptingLoss,
}

/// How often a head is looked at again that changes meanwhile.
const ATTEMPTS_MAX: usize = 20;

/// Rebuilds every total of an organization from its events and compares; puts right what is wrong as far as
/// `repairs` allows. `progress` is told of every meter. Scans the whole usage table.
///
/// Errors: those of the store.
pub async fn audit(
    store: &Store,
    organization: OrganizationId,
    repairs: Repairs,
    progress: impl Fn(&Meter),
) -> Result<Audit, AppError> {
    let found = store.survey_usage(Some(organization)).await?.remove(&organization).unwrap_or_default();
    audit_found(store, organization, &found, repairs, progress).await
}

/// The same of what a survey of the usage table has found.
///
/// Errors: those of the store.
pub async fn audit_found(
    store: &Store,
    organization: OrganizationId,
    found: &UsageFound,
    repairs: Repairs,
    progress: impl Fn(&Meter),
) -> Result<Audit, AppError> {
    let mut months = found.months.clone();
    let mut position = Position::Number(1);
    loop {
        let page = store.list_meters(organization, &PageRequest { position, size: 100 }).await?;
        for meter in &page.rows {
            let noted = store.list_months(organization, meter.id).await?;
            months.entry(meter.id).or_default().extend(noted);
        }
        match page.next_cursor.as_deref().and_then(Position::from_cursor) {
            Some(next) => position = next,
            None => break,
        }
    }
    let mut audit = Audit::default();
    for (id, months) in months {
        let meter = match store.get_meter_or_deleted(organization, id).await {
            Ok(meter) => meter,
            Err(StoreError::NotFound(_)) => {
                audit.unknown_meters.push(id);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        progress(&meter);
        for month in months {
            if found.unnoted.contains(&(id, month)) {
                audit_note(store, (organization, id, month), repairs, &mut audit).await?;
            }
            let headless = found.headless.iter().filter(|head| (head.meter, head.month) == (id, month));
            for head in headless {
                audit_head(store, *head, &meter, store.get_head(*head).await?, repairs, &mut audit).await?;
            }
            let heads = match store.list_heads(organization, id, month).await {
                Err(error @ StoreError::Corrupt { .. }) => {
                    let what = format!("heads of the month cannot be read: {error}");
                    let finding = Finding { meter: id, customer: None, month, what, is_repaired: false };
                    audit.findings.push(finding);
                    continue;
                }
                heads => heads?,
            };
            for (customer, head) in heads {
                let id = HeadId { organization, meter: id, customer, month };
                if !found.headless.contains(&id) {
                    audit_head(store, id, &meter, head, repairs, &mut audit).await?;
                }
            }
        }
    }
    Ok(audit)
}

/// A month of which there is something, and which is not noted.
async fn audit_note(
    store: &Store,
    (organization, meter, month): (OrganizationId, MeterId, Month),
    repairs: Repairs,
    audit: &mut Audit,
) -> Result<(), AppError> {
    let is_repaired = repairs != Repairs::None;
    if is_repaired {
        store.note_month(organization, meter, month).await?;
    }
    let what =
        "the month is not noted among those of its meter: questions without a range leave it out".to_owned();
    audit.findings.push(Finding { meter, customer: None, month, what, is_repaired });
    Ok(())
}

/// The totals of a head beside its events. One of version 0 is not there, and its segments are.
async fn audit_head(
    store: &Store,
    id: HeadId,
    meter: &Meter,
    mut head: Head,
    repairs: Repairs,
    audit: &mut Audit,
) -> Result<(), AppError> {
    for _ in 0..ATTEMPTS_MAX {
        let examined = match examine(store, id, meter, &head).await {
            Ok(examined) => examined,
            Err(AppError::Internal(cause)) => {
                audit.heads += 1;
                audit.add(id, format!("its events cannot be read: {cause}"), false);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if examined.newest > head.version {
            let version = head.version;
            head = store.get_head(id).await?;
            if head.version != version {
                continue; // sealed in between
            }
        }
        let Examined { counted, wrong, beyond_repair, .. } = &examined;
        let lost = counted.lost(&head);
        let is_allowed = match repairs {
            Repairs::None => false,
            Repairs::WithoutLoss => lost == 0,
            Repairs::AcceptingLoss => true,
        };
        let is_repaired = is_allowed && examined.is_repairable();
        if is_repaired {
            let (restored, hours) = examined.restored(&head);
            let outcome = store.restore_head(id, &restored, &hours, head.version).await?;
            if outcome == CommitOutcome::Conflict {
                head = store.get_head(id).await?;
                continue;
            }
        }
        audit.heads += 1;
        audit.events += counted.members;
        audit.lost += lost;
        for what in wrong {
            audit.add(id, what.clone(), is_repaired);
        }
        for what in beyond_repair {
            audit.add(id, what.clone(), false);
        }
        return Ok(());
    }
    Err(AppError::Unavailable("a head changes too often to be audited".into()))
}

impl Audit {
    fn add(&mut self, id: HeadId, what: String, is_repaired: bool) {
        let HeadId { meter, customer, month, .. } = id;
        self.findings.push(Finding { meter, customer: Some(customer), month, what, is_repaired });
    }
}
