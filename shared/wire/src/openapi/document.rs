//! The document, made from the table of endpoints.

use axum::http::Method;
use utoipa::{
    ToSchema,
    openapi::{
        Components, Content, HttpMethod, Info, License, OpenApi, PathItem, Paths, Ref, RefOr, Required,
        Response, Tag,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ArrayBuilder, ObjectBuilder, Schema, Type},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use super::{Answer, Endpoint, Named, endpoints, named};
use crate::problem::Problem;

/// Parameters of ranges of time, and what they say.
const RANGE_PARAMETERS: [(&str, &str); 3] = [
    ("start_date", "An instant, or a date, which is its first instant in `time_zone`."),
    (
        "end_date",
        "The first instant that is left out, or a date, which is covered to its end. `2025-01-31T23:59:59Z` leaves \
         out the last second of the day, `2025-01-31` nothing of it. Now if left out.",
    ),
    ("time_zone", "Of dates and steps: a name such as `Europe/Berlin`. UTC if left out."),
];

/// The document.
pub fn document() -> OpenApi {
    let mut components = Components::new();
    components.security_schemes.insert(
        "apiKey".to_owned(),
        RefOr::T(SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")))),
    );
    components.security_schemes.insert(
        "session".to_owned(),
        RefOr::T(SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("access_token")))),
    );
    let mut paths = Paths::new();
    let mut tags = Vec::<Tag>::new();
    let problem = named::<Problem>();
    components.schemas.extend(problem.schemas);
    for endpoint in endpoints() {
        if !tags.iter().any(|tag| tag.name == endpoint.tag) {
            tags.push(TagBuilder::new().name(endpoint.tag).build());
        }
        let others = endpoint.others.iter().map(|(_, named, _)| named);
        for named in endpoint.request.iter().chain(endpoint.answer.json()).chain(others) {
            components.schemas.extend(named.schemas.iter().cloned());
        }
        let item = PathItem::new(http_method(&endpoint.method), endpoint.operation());
        paths.paths.entry(endpoint.path.to_owned()).or_default().merge_operations(item);
    }
    let mut info = Info::new("Fluxrate", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Usage-based billing: meters, plans, subscriptions, exact invoices. \
         Amounts are decimal numbers: read them digit by digit, not as floats."
            .to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    let mut document = OpenApi::new(info, paths);
    document.components = Some(components);
    document.tags = Some(tags);
    document
}

impl Answer {
    fn json(&self) -> Option<&Named> {
        match self {
            Self::Json(named) => Some(named),
            Self::Nothing | Self::Pdf => None,
        }
    }
}

impl Endpoint {
    fn operation(&self) -> Operation {
        let mut operation = OperationBuilder::new().tag(self.tag).summary(Some(self.summary));
        operation = operation.operation_id(Some(self.operation_id()));
        for name in self.path.split(['{', '}']).skip(1).step_by(2) {
            operation = operation.parameter(parameter(name, ParameterIn::Path));
        }
        for name in self.query {
            operation = operation.parameter(parameter(name, ParameterIn::Query));
        }
        if let (Some(key), false) = (self.key, self.is_public) {
            let mut header = parameter("Idempotency-Key", ParameterIn::Header);
            header.description = Some(key.to_owned());
            operation = operation.parameter(header);
        }
        if let Some(request) = &self.request {
            let mut body = RequestBodyBuilder::new().content("application/json", reference(&request.name));
            for (content_type, named, is_list) in &self.others {
                let content = if *is_list { list(&named.name) } else { reference(&named.name) };
                body = body.content(*content_type, content);
            }
            let required = if self.is_optional { Required::False } else { Required::True };
            operation = operation.request_body(Some(body.required(Some(required)).build()));
        }
        let mut answer = Response::new("Success");
        match &self.answer {
            Answer::Nothing => {}
            Answer::Json(named) => {
                answer.content.insert("application/json".to_owned(), RefOr::T(reference(&named.name)));
            }
            Answer::Pdf => {
                let bytes = ObjectBuilder::new().schema_type(Type::String).build();
                answer.content.insert("application/pdf".to_owned(), RefOr::T(Content::new(Some(bytes))));
            }
        }
        if let Some(status) = self.or {
            operation = operation.response(status.to_string(), answer.clone());
        }
        operation = operation.response(self.status.to_string(), answer);
        let mut problem = Response::new("A problem, as RFC 9457 has them");
        problem.content.insert("application/problem+json".to_owned(), RefOr::T(reference(&Problem::name())));
        operation = operation.response("default", problem);
        if !self.is_public {
            let none: [String; 0] = [];
            operation = operation
                .security(SecurityRequirement::new("apiKey", none.clone()))
                .security(SecurityRequirement::new("session", none));
        }
        operation.build()
    }

    /// `post_plans_id_charges`
    fn operation_id(&self) -> String {
        let path = self.path.trim_start_matches("/api/v1/").replace(['{', '}'], "").replace(['/', '-'], "_");
        format!("{}_{path}", self.method.as_str().to_lowercase())
    }
}

fn reference(name: &str) -> Content {
    Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(name))))
}

fn list(name: &str) -> Content {
    Content::new(Some(ArrayBuilder::new().items(Ref::from_schema_name(name))))
}

fn parameter(name: &str, place: ParameterIn) -> Parameter {
    let is_path = matches!(place, ParameterIn::Path);
    let schema_type = if matches!(name, "page" | "page_size") { Type::Integer } else { Type::String };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if is_path { Required::True } else { Required::False })
        .description(RANGE_PARAMETERS.iter().find(|(of, _)| *of == name).map(|(_, says)| *says))
        .schema(Some(ObjectBuilder::new().schema_type(schema_type)))
        .build()
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}
