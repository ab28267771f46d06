//! Lists: `{"data": […], "meta": {…}}`.

use app::{Page, PageRequest, Position};
use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
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
