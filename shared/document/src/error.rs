//! Why there is no document.

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// An address that readers would follow is not one of the web. Correct it, or leave it out.
    #[error("`{field}` must be an address that starts with https:// or http://")]
    Link {
        /// The field of the document.
        field: &'static str,
    },
    /// Typst refused the document: a defect of `templates/invoice.typ`, whatever the data.
    #[error("the PDF could not be typeset: {0}")]
    Typeset(String),
    /// A text template failed: a defect of ours.
    #[error("a template could not be filled in")]
    Template(#[from] askama::Error),
    /// The view could not be handed to Typst: a defect of ours.
    #[error("the invoice could not be written as JSON")]
    Json(#[from] serde_json::Error),
}
