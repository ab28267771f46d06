//! The event bus, on EventBridge.

use app::port::{Bus, PortError};
use async_trait::async_trait;
use aws_sdk_eventbridge::{Client, primitives::DateTime, types::PutEventsRequestEntry};
use domain::{id::OrganizationId, outbox::OutboxEntry};

use crate::error::{failed, not_configured};

/// A bus on EventBridge. Rules find our events by the source `fluxrate` and the event's name as detail type.
#[derive(Clone, Debug)]
pub struct EventBus {
    client: Client,
    bus: Option<String>,
}

const SOURCE: &str = "fluxrate";
const PUBLISH: &str = "publishing to EventBridge";

impl EventBus {
    /// The bus of that name. A function that publishes nothing is given none.
    pub fn new(client: Client, bus: Option<String>) -> Self {
        Self { client, bus }
    }
}

#[async_trait]
impl Bus for EventBus {
    async fn publish(&self, organization: OrganizationId, entry: &OutboxEntry) -> Result<(), PortError> {
        let bus = self.bus.as_deref().ok_or_else(|| not_configured(PUBLISH, "the name of the event bus"))?;
        let event = PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(SOURCE)
            .detail_type(wire::message::event_name(entry))
            .time(DateTime::from_millis(entry.at.timestamp_millis()))
            .detail(wire::message::event(organization, entry))
            .build();
        let output = self.client.put_events().entries(event).send().await;
        let output = output.map_err(|error| failed(PUBLISH, &error))?;
        // One entry was sent: either it has an id, or the reason why not.
        match output.entries() {
            [entry] if entry.event_id().is_some() && output.failed_entry_count() == 0 => Ok(()),
            entries => {
                let code = entries.iter().find_map(|entry| entry.error_code()).unwrap_or("none");
                Err(PortError::new(PUBLISH, format!("refused (code {code})")))
            }
        }
    }
}
