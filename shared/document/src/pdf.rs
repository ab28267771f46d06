//! The invoice as a PDF.

use chrono::{DateTime, Datelike, Timelike, Utc};
use typst::{
    comemo,
    diag::SourceDiagnostic,
    foundations::{Datetime, Smart},
};
use typst_pdf::{PdfOptions, Timestamp};

use crate::{DocumentError, InvoiceDocument, view::View, world::InvoiceWorld};

/// Typst remembers what it laid out, for all threads. What none of the last few documents used is forgotten, or a
/// warm process would grow with each invoice.
const MEMORY_DOCUMENTS: usize = 4;

/// The invoice as a PDF of A4 pages, tagged for screen readers. The same document gives the same bytes.
///
/// Takes tens of milliseconds, and once per process a few more to read the fonts. The fonts hold Latin, Greek,
/// Cyrillic, Hebrew and basic Arabic; other letters are shown as empty boxes, and never fail.
///
/// Errors: `Link` if a link is not one that a reader may follow.
pub fn pdf(invoice: &InvoiceDocument) -> Result<Vec<u8>, DocumentError> {
    let world = InvoiceWorld::new(serde_json::to_vec(&View::new(invoice)?)?);
    let options = PdfOptions {
        creator: Smart::Custom(Some("Fluxrate".to_owned())),
        timestamp: timestamp(invoice.created_at),
        ..PdfOptions::default()
    };
    let bytes = typst::compile(&world).output.and_then(|pages| typst_pdf::pdf(&pages, &options));
    comemo::evict(MEMORY_DOCUMENTS);
    bytes.map_err(|diagnostics| refused(&diagnostics))
}

fn refused(diagnostics: &[SourceDiagnostic]) -> DocumentError {
    let messages: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    DocumentError::Typeset(messages.join("; "))
}

/// None for years that a PDF cannot hold.
fn timestamp(at: DateTime<Utc>) -> Option<Timestamp> {
    let part = |number: u32| u8::try_from(number).ok();
    let year = Some(at.year()).filter(|year| (0..=9999).contains(year))?;
    Datetime::from_ymd_hms(
        year,
        part(at.month())?,
        part(at.day())?,
        part(at.hour())?,
        part(at.minute())?,
        part(at.second())?,
    )
    .map(Timestamp::new_utc)
}
