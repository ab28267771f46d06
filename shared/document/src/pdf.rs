//! The PDF.

use chrono::{DateTime, Datelike, Timelike, Utc};
use typst::{diag::SourceDiagnostic, foundations::{Datetime, Smart}};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, Timestamp};

use crate::{DocumentError, InvoiceDocument, view::View, world::DocumentWorld};

/// The invoice as a PDF. The same invoice always gives the same bytes.
///
/// Errors: only for a defect of the template.
pub fn pdf(document: &InvoiceDocument) -> Result<Vec<u8>, DocumentError> {
    let view = serde_json::to_vec(&View::new(document))?;
    let no_template = || DocumentError::Typesetting("there is no template".to_owned());
    let world = DocumentWorld::new(view).ok_or_else(no_template)?;
    let pages = typst::compile::<PagedDocument>(&world).output.map_err(|errors| failed(&errors))?;
    let options = PdfOptions {
        ident: Smart::Custom(document.number.clone().unwrap_or_default()),
        creator: Smart::Custom(Some("Fluxrate".to_owned())),
        timestamp: timestamp(document.created_at),
        ..PdfOptions::default()
    };
    typst_pdf::pdf(&pages, &options).map_err(|errors| failed(&errors))
}

fn timestamp(at: DateTime<Utc>) -> Option<Timestamp> {
    let part = |number: u32| u8::try_from(number).ok();
    let (month, day) = (part(at.month())?, part(at.day())?);
    let (hour, minute, second) = (part(at.hour())?, part(at.minute())?, part(at.second())?);
    Datetime::from_ymd_hms(at.year(), month, day, hour, minute, second).map(Timestamp::new_utc)
}

fn failed(errors: &[SourceDiagnostic]) -> DocumentError {
    let messages = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>();
    DocumentError::Typesetting(messages.join("; "))
}
