//! What cannot be billed, as a map inside the item that it is about.

use domain::billing_error::BillingError;

use crate::{
    error::StoreError,
    invoice_item::{period_from, period_item},
    item::{Item, Reader},
};

pub(crate) fn billing_error_item(error: &BillingError) -> Item {
    Item::default()
        .map("period", period_item(error.period))
        .text("detail", &error.detail)
        .time("since", error.since)
        .time("retry_at", error.retry_at)
}

pub(crate) fn billing_error_from(error: Reader<'_>) -> Result<BillingError, StoreError> {
    Ok(BillingError {
        period: period_from(error.map("period")?)?,
        detail: error.text("detail")?.to_owned(),
        since: error.time("since")?,
        retry_at: error.time("retry_at")?,
    })
}
