//! Doubled slashes: some clients join a base address that ends in a slash with a path that begins with one.

use axum::{
    extract::Request,
    http::uri::{PathAndQuery, Uri},
};

/// The request with every run of slashes in its path made one. The query stays as it is.
pub(crate) fn collapsed(mut request: Request) -> Request {
    if let Some(uri) = collapsed_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The address without doubled slashes, if it has any.
fn collapsed_uri(uri: &Uri) -> Option<Uri> {
    if !uri.path().contains("//") {
        return None;
    }
    let mut text = String::with_capacity(uri.path().len());
    for character in uri.path().chars() {
        if character != '/' || !text.ends_with('/') {
            text.push(character);
        }
    }
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_slashes_in_the_path_become_one() {
        let check = |given: &str, expected: Option<&str>| {
            let collapsed = collapsed_uri(&given.parse().unwrap());
            assert_eq!(collapsed.map(|uri| uri.to_string()).as_deref(), expected, "{given}");
        };
        check("/sdk/track", None);
        check("/sdk/track/?next=//a", None);
        check("//sdk/track", Some("/sdk/track"));
        check("/api/v1//sdk/track?a=b//c", Some("/api/v1/sdk/track?a=b//c"));
        check("///", Some("/"));
        check("//a///b%2F%2Fc//", Some("/a/b%2F%2Fc/"));
    }
}
