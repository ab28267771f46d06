//! Bodies of single events: the log, what became of one, what was not counted, corrections.

use app::{
    AppError, Uncounted, UncountedEvent,
    correct_usage::{AcceptedCorrection, Correction},
    find_usage::{EventName, FoundEvent, FoundMember},
    usage_log::{EventState, LogEntry},
};
use domain::event::{Revision, UsageEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    check::Check,
    number::QuantityIn,
    properties::PropertiesIn,
    time::{TimeIn, TimeOut},
    usage::{customer_ref, meta_data, meter_ref},
};

/// What became of an event.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventStateName {
    /// It counts.
    Counted,
    /// It is kept, and left out by the meter's filters.
    Filtered,
    /// It counts with other content, told later.
    Replaced,
    /// It was taken back, and does not count.
    Voided,
    /// Its key had been counted with other content before; the first is kept.
    Conflict,
    /// It could not be counted.
    Rejected,
    /// It repeats an event that was counted before.
    Duplicate,
    /// Nothing of that name was counted or set aside. It may still be on its way.
    Unknown,
}

/// An event in a meter's log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    /// The id of all events of its key.
    pub id: String,
    /// Who used it.
    pub customer_id: String,
    /// What counted it.
    pub meter_id: String,
    /// How much, as it counts: by its latest correction, if it has any.
    pub quantity: String,
    /// When it was used.
    pub timestamp: TimeOut,
    /// When it was accepted.
    pub ingested_at: TimeOut,
    /// Its key.
    pub idempotency_key: String,
    /// What was sent along.
    #[schema(value_type = PropertiesIn)]
    pub meta_data: Map<String, Value>,
    /// What became of it.
    pub status: EventStateName,
    /// Why it was not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub reason: Option<String>,
}

/// What was told of an event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToldBody {
    /// How much.
    pub quantity: String,
    /// When it was used.
    pub timestamp: TimeOut,
    /// When it was accepted.
    pub ingested_at: TimeOut,
    /// What was sent along.
    #[schema(value_type = PropertiesIn)]
    pub meta_data: Map<String, Value>,
}

/// What became of an event, and where it counts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventStatusBody {
    /// The id of all events of the key.
    pub id: String,
    /// What counts it.
    pub meter_id: String,
    /// Who used it.
    pub customer_id: String,
    /// Its key.
    pub idempotency_key: String,
    /// What became of it.
    pub status: EventStateName,
    /// The event as it was told first, if it was counted.
    pub event: Option<ToldBody>,
    /// Where it counts.
    pub counted_in: Option<CountedInBody>,
    /// Its corrections, the latest last.
    pub corrections: Vec<CorrectionBody>,
    /// What was told under the same key and not counted.
    pub not_counted: Vec<NotCountedBody>,
}

/// Where an event counts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountedInBody {
    /// The month, in UTC: `2025-01`.
    pub month: String,
    /// The day, in UTC: `2025-01-15`.
    pub day: String,
    /// Whether it lies among the newest events, or in a segment.
    pub place: PlaceName,
}

/// Where an event lies.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlaceName {
    /// Among the newest, in the head.
    Head,
    /// In a segment.
    Segment,
}

/// Something told under a key that was not counted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotCountedBody {
    /// A conflict, or rejected.
    pub status: EventStateName,
    /// Why.
    pub reason: String,
    /// What was told.
    pub event: ToldBody,
}

/// A correction of an event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectionBody {
    /// Its id.
    pub id: String,
    /// The id of the event that it corrects.
    pub event_id: String,
    /// What it does.
    pub action: CorrectionName,
    /// The key of the event.
    pub idempotency_key: String,
    /// What counts from now on; of one that takes an event back, what was taken back.
    pub event: ToldBody,
}

/// What a correction does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionName {
    /// The event counts with other content.
    Replace,
    /// The event does not count.
    Void,
}

/// A correction, as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCorrectionBody {
    /// What it does.
    action: CorrectionName,
    /// The key of the event to correct.
    idempotency_key: String,
    /// What your own systems call the customer.
    customer_external_id: Option<String>,
    /// Our id of the customer.
    customer_id: Option<String>,
    /// The meter's name.
    meter_name: Option<String>,
    /// The meter's id.
    meter_id: Option<String>,
    /// The meter's token.
    meter_token: Option<String>,
    /// The timestamp of the event: needed where the meter tells events apart by it, and quicker elsewhere.
    timestamp: Option<TimeIn>,
    /// How much was really used.
    quantity: Option<QuantityIn>,
    /// The values that are right.
    properties: Option<PropertiesIn>,
    /// Whatever else.
    metadata: Option<PropertiesIn>,
}

/// How many events were sent again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// How many.
    pub replayed: usize,
}

impl NewCorrectionBody {
    /// Which event, and what it is corrected to.
    pub fn into_domain(self) -> Result<(EventName, Correction), AppError> {
        let mut check = Check::default();
        let meter = meter_ref(&mut check, self.meter_name, self.meter_id, self.meter_token);
        let customer = customer_ref(&mut check, self.customer_external_id, self.customer_id);
        let correction = match self.action {
            CorrectionName::Void => {
                for (field, is_given) in [
                    ("quantity", self.quantity.is_some()),
                    ("properties", self.properties.is_some()),
                    ("metadata", self.metadata.is_some()),
                ] {
                    if is_given {
                        check.refuse(field, "must not come with `void`: nothing counts in its place");
                    }
                }
                Correction::Void
            }
            CorrectionName::Replace => Correction::Replace {
                quantity: self.quantity.map(|quantity| quantity.0),
                properties: self.properties.unwrap_or_default().0,
                metadata: self.metadata.unwrap_or_default().0,
            },
        };
        let timestamp = self.timestamp.map(|at| at.0);
        let named = meter.zip(customer);
        let name = named.map(|(meter, customer)| EventName {
            meter,
            customer,
            key: self.idempotency_key,
            timestamp,
        });
        check.finish_some(name.map(|name| (name, correction)))
    }
}

impl ToldBody {
    fn from_domain(event: &UsageEvent) -> Self {
        Self {
            quantity: event.quantity.to_string(),
            timestamp: TimeOut(event.occurred_at),
            ingested_at: TimeOut(event.ingested_at),
            meta_data: meta_data(event),
        }
    }
}

impl CorrectionBody {
    fn from_domain(event: &UsageEvent, event_id: &str) -> Option<Self> {
        let action = match event.revision {
            Revision::First => return None,
            Revision::Replacement(_) => CorrectionName::Replace,
            Revision::Void(_) => CorrectionName::Void,
        };
        Some(Self {
            id: event.revision.correction()?.to_string(),
            event_id: event_id.to_owned(),
            action,
            idempotency_key: event.key.clone(),
            event: ToldBody::from_domain(event),
        })
    }

    /// The body of a correction that was accepted.
    pub fn from_accepted(accepted: &AcceptedCorrection) -> Option<Self> {
        Self::from_domain(&accepted.tracked.event, &accepted.event_id.to_string())
    }
}

fn state(state: &EventState) -> (EventStateName, Option<String>) {
    match state {
        EventState::Counted => (EventStateName::Counted, None),
        EventState::Filtered => (EventStateName::Filtered, None),
        EventState::Replaced(_) => (EventStateName::Replaced, None),
        EventState::Voided => (EventStateName::Voided, None),
        EventState::Conflict => (EventStateName::Conflict, Some(CONFLICT.to_owned())),
        EventState::Rejected { reason } => (EventStateName::Rejected, Some(reason.clone())),
    }
}

const CONFLICT: &str = "its key was counted with other content before";

impl EventBody {
    /// The body of a line of a log.
    pub fn from_domain(entry: LogEntry) -> Self {
        let (status, reason) = state(&entry.state);
        let shown = entry.shown();
        Self {
            id: entry.id.to_string(),
            customer_id: entry.customer.to_string(),
            meter_id: entry.meter.to_string(),
            quantity: shown.quantity.to_string(),
            timestamp: TimeOut(entry.event.occurred_at),
            ingested_at: TimeOut(entry.event.ingested_at),
            meta_data: meta_data(shown),
            idempotency_key: entry.event.key,
            status,
            reason,
        }
    }

    /// The body of an event that was not counted.
    pub fn from_uncounted(uncounted: UncountedEvent) -> Self {
        let state = match uncounted.why {
            Uncounted::Rejected { reason } => EventState::Rejected { reason },
            Uncounted::Conflict => EventState::Conflict,
        };
        let UncountedEvent { id, customer, meter, event, .. } = uncounted;
        Self::from_domain(LogEntry { id, customer, meter, event, state })
    }
}

impl EventStatusBody {
    /// The body of what became of an event.
    pub fn from_domain(found: &FoundEvent, key: String) -> Self {
        let id = found.id.to_string();
        let not_counted = found.uncounted.iter().map(|(event, why)| {
            let (status, reason) = state(why);
            NotCountedBody { status, reason: reason.unwrap_or_default(), event: ToldBody::from_domain(event) }
        });
        let not_counted = not_counted.collect::<Vec<_>>();
        let status = match &found.member {
            Some(member) if member.is_repeat => EventStateName::Duplicate,
            Some(member) => state(&member.state).0,
            None => not_counted.first().map_or(EventStateName::Unknown, |first| first.status),
        };
        let corrections = found.member.iter().flat_map(|member| &member.corrections);
        Self {
            meter_id: found.meter.id.to_string(),
            customer_id: found.customer.to_string(),
            idempotency_key: key,
            status,
            event: found.member.as_ref().map(|member| ToldBody::from_domain(&member.event)),
            counted_in: found.member.as_ref().map(CountedInBody::from_domain),
            corrections: corrections.filter_map(|event| CorrectionBody::from_domain(event, &id)).collect(),
            not_counted,
            id,
        }
    }
}

impl CountedInBody {
    fn from_domain(member: &FoundMember) -> Self {
        Self {
            month: member.month.start().format("%Y-%m").to_string(),
            day: member.event.occurred_at.format("%Y-%m-%d").to_string(),
            place: if member.is_sealed { PlaceName::Segment } else { PlaceName::Head },
        }
    }
}
