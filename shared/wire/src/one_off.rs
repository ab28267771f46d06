//! Bodies of one-off charges.

use domain::{
    charge::{Charge, Price},
    id::SubscriptionId,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{number::NumberOut, time::TimeOut};

/// What a subscription is billed once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OneOffChargeBody {
    /// Its id, which its line has as `charge_id`.
    pub id: String,
    /// Whose next invoice it is on.
    pub subscription_id: String,
    /// What the line on the invoice says.
    pub description: String,
    /// How much.
    pub quantity: Option<NumberOut>,
    /// Price of one, in major units.
    pub unit_amount: Option<NumberOut>,
    /// Since when. It is on the first bill that falls due after that.
    pub created_at: TimeOut,
    /// Whether it is on an invoice. Until then it can be taken back.
    pub is_billed: bool,
}

impl OneOffChargeBody {
    /// The body of a one-off charge.
    pub fn from_domain(subscription: SubscriptionId, charge: &Charge, is_billed: bool) -> Self {
        let price = match &charge.price {
            Price::Fixed(price) => Some(price),
            Price::Usage(_) => None,
        };
        Self {
            id: charge.id.to_string(),
            subscription_id: subscription.to_string(),
            description: charge.display_name.clone(),
            quantity: price.map(|price| NumberOut(price.quantity)),
            unit_amount: price.map(|price| NumberOut(price.unit_price)),
            created_at: TimeOut(charge.created_at),
            is_billed,
        }
    }
}
