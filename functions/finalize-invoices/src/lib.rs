//! Finalizes drafts whose grace period ended, and relays what is to be told.

use app::{AppError, Platform, sweep};

/// Does everything that is due. A tick carries nothing: a lost one is made up by the next.
pub async fn tick(platform: &Platform) -> Result<(), AppError> {
    let finalized = sweep::finalize_invoices(platform).await?;
    if finalized > 0 {
        tracing::info!(finalized, "finalized {finalized} invoices");
    }
    Ok(())
}
