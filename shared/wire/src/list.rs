//! Lists: `{"data": […], "meta": {…}}`.

use std::borrow::Cow;

use app::{Page, PageRequest, Position};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema},
    },
};

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct List<T: ToSchema> {
    /// The rows.
    pub data: Vec<T>,
    /// Where they are in the list.
    pub meta: ListMeta,
}

/// Where the rows of a page are in their list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMeta {
    /// Number of the page, from 1. Not given for a page that was asked for by cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<usize>,
    /// The most rows a page has.
    pub page_size: usize,
    /// Rows of the whole list.
    pub total: usize,
    /// Pages of the whole list.
    pub total_pages: usize,
    /// Leads to the next page, if there is one. As fast at any depth.
    pub next_cursor: Option<String>,
}

impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(T::name()));
        ObjectBuilder::new()
            .property("data", rows)
            .required("data")
            .property("meta", Ref::from_schema_name(ListMeta::name()))
            .required("meta")
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
            .description(Some("A page of a list"))
            .into()
    }
}

impl<T: ToSchema> ToSchema for List<T> {
    /// Each kind of row has a list of its own.
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("{}List", T::name()))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
        schemas.push((ListMeta::name().into_owned(), ListMeta::schema()));
        ListMeta::schemas(schemas);
    }
}

impl<T: ToSchema> List<T> {
    /// The body of a page.
    pub fn from_page<R>(page: Page<R>, request: &PageRequest, row: impl FnMut(R) -> T) -> Self {
        let number = match request.position {
            Position::Number(number) => Some(number),
            Position::After(_) => None,
        };
        Self {
            data: page.rows.into_iter().map(row).collect(),
            meta: ListMeta {
                page: number,
                page_size: request.size,
                total: page.total,
                total_pages: page.total.div_ceil(request.size),
                next_cursor: page.next_cursor,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_as_documented() {
        for (total, size, pages) in [(342, 20, 18), (12_300, 50, 246), (0, 20, 0), (20, 20, 1), (21, 20, 2)] {
            let request = PageRequest { position: Position::Number(1), size };
            let page = Page { rows: Vec::<String>::new(), total, next_cursor: None };
            assert_eq!(List::from_page(page, &request, |row| row).meta.total_pages, pages);
        }
    }
}
