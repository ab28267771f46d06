//! All that Typst can see: one template, one file of data, the embedded fonts. No disk, no network, no clock.

use std::{path::PathBuf, sync::LazyLock};

use typst::{
    Library, LibraryExt, World,
    diag::{FileError, FileResult},
    foundations::{Bytes, Datetime, Duration},
    syntax::{FileId, Source},
    text::{Font, FontBook},
    utils::LazyHash,
};
use typst_kit::fonts::{FontStore, embedded};

/// The families that `invoice.typ` names; the others are for formulas.
const FAMILIES: [&str; 3] = ["Libertinus Serif", "New Computer Modern", "DejaVu Sans Mono"];

/// What all invoices share; made once, since reading the fonts takes longer than an invoice.
static PRESS: LazyLock<Press> = LazyLock::new(|| {
    let mut fonts = FontStore::new();
    fonts.extend(embedded().filter(|(_, info)| FAMILIES.contains(&info.family.as_str())));
    Press {
        library: LazyHash::new(Library::default()),
        fonts,
        template: Source::detached(include_str!("../templates/invoice.typ")),
    }
});

struct Press {
    library: LazyHash<Library>,
    fonts: FontStore,
    template: Source,
}

/// The press with the data of one invoice laid in.
pub(crate) struct InvoiceWorld {
    data: Bytes,
}

impl InvoiceWorld {
    /// `json` is what the template reads as `invoice.json`.
    pub(crate) fn new(json: Vec<u8>) -> Self {
        Self { data: Bytes::new(json) }
    }
}

impl World for InvoiceWorld {
    fn library(&self) -> &LazyHash<Library> {
        &PRESS.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        PRESS.fonts.book()
    }

    fn main(&self) -> FileId {
        PRESS.template.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main() { Ok(PRESS.template.clone()) } else { Err(not_found(id)) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        match id.vpath().get_without_slash() {
            "invoice.json" => Ok(self.data.clone()),
            _ => Err(not_found(id)),
        }
    }

    fn font(&self, index: usize) -> Option<Font> {
        PRESS.fonts.font(index)
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}

fn not_found(id: FileId) -> FileError {
    FileError::NotFound(PathBuf::from(id.vpath().get_without_slash()))
}
