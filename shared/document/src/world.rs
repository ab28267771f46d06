//! The world that Typst sees: one template, one file of data, the embedded fonts, and nothing else.

use std::sync::LazyLock;

use typst::{
    Library, LibraryExt, World,
    diag::{FileError, FileResult},
    foundations::{Bytes, Datetime, Duration},
    syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot},
    text::{Font, FontBook},
    utils::LazyHash,
};
use typst_kit::fonts::{self, FontStore};

/// What is the same for every document: made once, since a Lambda lives longer than one.
struct Shared {
    library: LazyHash<Library>,
    fonts: FontStore,
    template: Option<Source>,
    data: Option<FileId>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let file = |name: &str| {
        let path = VirtualPath::new(name).ok()?;
        Some(RootedPath::new(VirtualRoot::Project, path).intern())
    };
    let template = include_str!("../templates/invoice.typ").to_owned();
    let mut store = FontStore::new();
    store.extend(fonts::embedded());
    Shared {
        library: LazyHash::new(Library::builder().build()),
        fonts: store,
        template: file("invoice.typ").map(|id| Source::new(id, template)),
        data: file("invoice.json"),
    }
});

/// One document's world.
pub(crate) struct DocumentWorld {
    main: FileId,
    data: Bytes,
}

impl DocumentWorld {
    /// The world of a document with this data, as JSON. `None` if the template has no place, which is a
    /// defect.
    pub(crate) fn new(data: Vec<u8>) -> Option<Self> {
        let main = SHARED.template.as_ref()?.id();
        Some(Self { main, data: Bytes::new(data) })
    }
}

impl World for DocumentWorld {
    fn library(&self) -> &LazyHash<Library> {
        &SHARED.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        SHARED.fonts.book()
    }

    fn main(&self) -> FileId {
        self.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        match &SHARED.template {
            Some(template) if id == template.id() => Ok(template.clone()),
            _ => Err(FileError::AccessDenied),
        }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        if Some(id) == SHARED.data { Ok(self.data.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn font(&self, index: usize) -> Option<Font> {
        SHARED.fonts.font(index)
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None // a document says when it was issued, not when it was set
    }
}
