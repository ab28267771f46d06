//! The OpenAPI document, made from the same types that are read and written.
//!
//! One table lists every endpoint of every function. A test holds the routers against it, and every answer
//! in the HTTP tests against the document, so that neither can say what is not so.

use axum::http::Method;
use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

pub use self::document::document;

use crate::{
    alert::{AlertBody, AlertChangesBody, NewAlertBody, TriggerBody},
    api_key::{ApiKeyBody, NewApiKeyBody},
    charge::{ChargeBody, ChargeChangesBody, NewChargeBody},
    cloud_event::{self, CloudEventBody},
    customer::{CustomerBody, CustomerChangesBody, NewCustomerBody},
    entitlement::{EntitlementBody, GrantChangesBody, NewPlanFeatureBody, PlanFeatureBody},
    estimate::{EstimateBody, NewEstimateBody},
    explanation::ExplanationBody,
    feature::{FeatureBody, FeatureChangesBody, NewFeatureBody},
    invoice::{InvoiceBody, SentBody},
    invoice_edit::{
        GenerateInvoiceBody, InvoiceChangesBody, InvoiceStatusBody, ManualLineBody, NewInvoiceBody,
        PublicTokenBody,
    },
    list::List,
    meter::{MeterBody, MeterStatsBody},
    migration::{MigrateBody, MigratedBody},
    one_off::OneOffChargeBody,
    organization::{OrganizationBody, OrganizationChangesBody},
    plan::{NewPlanBody, PlanBody, PlanChangesBody},
    preview::{NewPreviewBody, PreviewBody, PreviewInvoiceBody},
    public_invoice::PublicInvoiceBody,
    session::{LogInBody, MeBody, SignUpBody},
    subscription::{NewSubscriptionBody, SubscriptionBody},
    subscription_change::{
        CancelBody, ChangePlanBody, ChangeQuantityBody, ComingInvoicesBody, OverridesBody, PauseBody,
        PreviewChangeBody, ResumeBody,
    },
    test_clock::{AdvanceClockBody, TestClockBody},
    usage::{AcceptedBody, TrackBody, UsageBody},
    usage_batch::{UsageBatchAnswerBody, UsageBatchBody},
    usage_log::{CorrectionBody, EventBody, EventStatusBody, NewCorrectionBody, ReplayBody},
    usage_read::{SeriesBody, TopCustomersBody, UsageAnswerBody, UsageByMeterBody},
};

mod document;

/// One endpoint.
#[derive(Clone)]
pub struct Endpoint {
    /// Its method.
    pub method: Method,
    /// Its path, with `{id}` for what varies.
    pub path: &'static str,
    tag: &'static str,
    summary: &'static str,
    is_public: bool,
    query: &'static [&'static str],
    /// What an `Idempotency-Key` does.
    key: Option<&'static str>,
    request: Option<Named>,
    /// Whether there may be no request body.
    is_optional: bool,
    /// Other content types of the request body, each with its schema, and whether it is a list of that.
    others: Vec<(&'static str, Named, bool)>,
    status: u16,
    /// Another status with the same body.
    or: Option<u16>,
    answer: Answer,
}

#[derive(Clone)]
enum Answer {
    Nothing,
    Json(Named),
    Pdf,
}

/// A schema by its name, with those it refers to.
#[derive(Clone)]
struct Named {
    name: String,
    schemas: Vec<(String, RefOr<Schema>)>,
}

fn named<T: ToSchema>() -> Named {
    let name = T::name().into_owned();
    let mut schemas = vec![(name.clone(), T::schema())];
    T::schemas(&mut schemas);
    Named { name, schemas }
}

const PAGE: &[&str] = &["page", "page_size", "cursor"];
const PAGE_BY_STATUS: &[&str] = &["page", "page_size", "cursor", "status"];
const RANGE: &[&str] = &["start_date", "end_date", "time_zone"];
const USAGE: &[&str] = &[
    "meter_id",
    "meter_name",
    "customer_id",
    "customer_external_id",
    "subscription_id",
    "start_date",
    "end_date",
    "group_by",
    "time_zone",
    "filter[property]",
];

const ANSWERED_ONCE: &str = "A repeat under the same key is answered as the first was, and does nothing.";
const KEY_OF_EVENT: &str = "The key of an event that has none itself.";
const KEY_OF_EVENTS: &str = "Makes the key of each event that has none itself: this, a `#`, and its index from 0, or \
                             `sha256:` and the hash of that if it has more than 255 characters. So all of a request that \
                             is repeated counts once. CloudEvents have keys.";

fn endpoint(method: Method, path: &'static str, tag: &'static str, summary: &'static str) -> Endpoint {
    let key = (method == Method::POST).then_some(ANSWERED_ONCE);
    Endpoint {
        key,
        method,
        path,
        tag,
        summary,
        is_public: false,
        query: &[],
        request: None,
        is_optional: false,
        others: Vec::new(),
        status: 200,
        or: None,
        answer: Answer::Nothing,
    }
}

impl Endpoint {
    fn takes<T: ToSchema>(self) -> Self {
        Self { request: Some(named::<T>()), ..self }
    }

    fn may_take<T: ToSchema>(self) -> Self {
        Self { is_optional: true, ..self.takes::<T>() }
    }

    fn or_takes<T: ToSchema>(mut self, content_type: &'static str) -> Self {
        self.others.push((content_type, named::<T>(), false));
        self
    }

    fn or_takes_list<T: ToSchema>(mut self, content_type: &'static str) -> Self {
        self.others.push((content_type, named::<T>(), true));
        self
    }

    fn gives<T: ToSchema>(self, status: u16) -> Self {
        Self { answer: Answer::Json(named::<T>()), status, ..self }
    }

    fn gives_nothing(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn asks(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    fn keyed(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    fn or(self, status: u16) -> Self {
        Self { or: Some(status), ..self }
    }

    fn public(self) -> Self {
        Self { is_public: true, ..self }
    }
}

/// Every endpoint of every function.
pub fn endpoints() -> Vec<Endpoint> {
    let get = |path, tag, summary| endpoint(Method::GET, path, tag, summary);
    let post = |path, tag, summary| endpoint(Method::POST, path, tag, summary);
    let put = |path, tag, summary| endpoint(Method::PUT, path, tag, summary);
    let patch = |path, tag, summary| endpoint(Method::PATCH, path, tag, summary);
    let delete = |path, tag, summary| endpoint(Method::DELETE, path, tag, summary).gives_nothing(204);
    vec![
        post("/api/v1/auth/signup", "Sessions", "Sign up: make an organization and its owner")
            .takes::<SignUpBody>()
            .gives::<MeBody>(201)
            .public(),
        post("/api/v1/auth/login", "Sessions", "Sign in").takes::<LogInBody>().gives::<MeBody>(200).public(),
        post("/api/v1/auth/refresh", "Sessions", "Get new tokens for the refresh token")
            .gives::<MeBody>(200)
            .public(),
        post("/api/v1/auth/logout", "Sessions", "Sign out").gives_nothing(204).public(),
        get("/api/v1/auth/me", "Sessions", "Who is signed in").gives::<MeBody>(200),
        get("/api/v1/organization", "Organization", "The organization and its settings")
            .gives::<OrganizationBody>(200),
        patch("/api/v1/organization", "Organization", "Change settings")
            .takes::<OrganizationChangesBody>()
            .gives::<OrganizationBody>(200),
        get("/api/v1/test-clock", "Organization", "The organization's time").gives::<TestClockBody>(200),
        post(
            "/api/v1/test-clock",
            "Organization",
            "Move the clock of an organization in test mode; 202 asks for the same again",
        )
        .takes::<AdvanceClockBody>()
        .gives::<TestClockBody>(200)
        .or(202),
        post("/api/v1/api-keys", "API keys", "Make an API key")
            .takes::<NewApiKeyBody>()
            .gives::<ApiKeyBody>(201),
        get("/api/v1/api-keys", "API keys", "List API keys").asks(PAGE).gives::<List<ApiKeyBody>>(200),
        delete("/api/v1/api-keys/{id}", "API keys", "Delete an API key, at once"),
        post("/api/v1/features", "Features", "Make a feature")
            .takes::<NewFeatureBody>()
            .gives::<FeatureBody>(201),
        get("/api/v1/features", "Features", "List features").asks(PAGE).gives::<List<FeatureBody>>(200),
        get("/api/v1/features/{id}", "Features", "A feature").gives::<FeatureBody>(200),
        put("/api/v1/features/{id}", "Features", "Change a feature")
            .takes::<FeatureChangesBody>()
            .gives::<FeatureBody>(200),
        delete("/api/v1/features/{id}", "Features", "Delete a feature and its meter"),
        get("/api/v1/meters", "Meters", "List meters").asks(PAGE).gives::<List<MeterBody>>(200),
        get("/api/v1/meters/{id}", "Meters", "A meter").gives::<MeterBody>(200),
        get("/api/v1/meters/{id}/usage", "Meters", "Usage over time")
            .asks(&["group_by", "start_date", "end_date", "customer_id", "time_zone", "filter[property]"])
            .gives::<SeriesBody>(200),
        get("/api/v1/meters/{id}/top-customers", "Meters", "The customers who used most")
            .asks(&["start_date", "end_date", "time_zone", "limit"])
            .gives::<TopCustomersBody>(200),
        get("/api/v1/meters/{id}/stats", "Meters", "What a meter has seen").gives::<MeterStatsBody>(200),
        get("/api/v1/meters/{id}/events", "Meters", "The events of a meter, newest first")
            .asks(&[
                "page",
                "page_size",
                "cursor",
                "customer_id",
                "start_date",
                "end_date",
                "time_zone",
                "min_quantity",
                "idempotency_key",
            ])
            .gives::<List<EventBody>>(200),
        post("/api/v1/plans", "Plans", "Make a plan").takes::<NewPlanBody>().gives::<PlanBody>(201),
        get("/api/v1/plans", "Plans", "List plans")
            .asks(&["page", "page_size", "cursor", "type", "is_active"])
            .gives::<List<PlanBody>>(200),
        get("/api/v1/plans/{id}", "Plans", "A plan with its charges").gives::<PlanBody>(200),
        put("/api/v1/plans/{id}", "Plans", "Change a plan").takes::<PlanChangesBody>().gives::<PlanBody>(200),
        delete("/api/v1/plans/{id}", "Plans", "Delete a plan that nobody is subscribed to"),
        post(
            "/api/v1/plans/{id}/migrate",
            "Plans",
            "Migrate subscriptions to another version of the prices, a page at a time",
        )
        .may_take::<MigrateBody>()
        .gives::<MigratedBody>(200),
        post(
            "/api/v1/plans/{id}/migrate/preview",
            "Plans",
            "What a migration would cost each subscription; nothing is stored",
        )
        .may_take::<MigrateBody>()
        .gives::<MigratedBody>(200),
        post("/api/v1/plans/{id}/charges", "Plans", "Add a charge")
            .takes::<NewChargeBody>()
            .gives::<ChargeBody>(201),
        patch("/api/v1/plans/{id}/charges/{charge_id}", "Plans", "Retire a charge, for good")
            .takes::<ChargeChangesBody>()
            .gives::<ChargeBody>(200),
        post("/api/v1/plans/{id}/features", "Plans", "Add a feature")
            .takes::<NewPlanFeatureBody>()
            .gives::<PlanFeatureBody>(201),
        put("/api/v1/plans/{id}/features/{feature_id}", "Plans", "Change what is granted of a feature")
            .takes::<GrantChangesBody>()
            .gives::<PlanFeatureBody>(200),
        delete("/api/v1/plans/{id}/features/{feature_id}", "Plans", "Take a feature from a plan"),
        post("/api/v1/charges/estimate", "Plans", "What a charge would cost; nothing is stored")
            .takes::<NewEstimateBody>()
            .gives::<EstimateBody>(200),
        post("/api/v1/customers", "Customers", "Make a customer")
            .takes::<NewCustomerBody>()
            .gives::<CustomerBody>(201),
        get("/api/v1/customers", "Customers", "List customers")
            .asks(&["page", "page_size", "cursor", "external_id", "email"])
            .gives::<List<CustomerBody>>(200),
        get("/api/v1/customers/{id}", "Customers", "A customer").gives::<CustomerBody>(200),
        put("/api/v1/customers/{id}", "Customers", "Change a customer")
            .takes::<CustomerChangesBody>()
            .gives::<CustomerBody>(200),
        delete("/api/v1/customers/{id}", "Customers", "Delete a customer that was never billed"),
        get("/api/v1/customers/{id}/subscriptions", "Customers", "A customer's subscriptions")
            .asks(PAGE_BY_STATUS)
            .gives::<List<SubscriptionBody>>(200),
        get("/api/v1/customers/{id}/invoices", "Customers", "A customer's invoices")
            .asks(PAGE_BY_STATUS)
            .gives::<List<InvoiceBody>>(200),
        get("/api/v1/customers/{id}/usage", "Customers", "A customer's usage of every meter")
            .asks(RANGE)
            .gives::<UsageByMeterBody>(200),
        get("/api/v1/customers/{id}/entitlements", "Entitlements", "What a customer may use")
            .asks(PAGE)
            .gives::<List<EntitlementBody>>(200),
        get(
            "/api/v1/customers/{id}/entitlements/{lookup_key}",
            "Entitlements",
            "Whether a customer may use a feature, or so much of it",
        )
        .asks(&["quantity"])
        .gives::<EntitlementBody>(200),
        get("/api/v1/entitlements/check", "Entitlements", "The same, by your own id of the customer")
            .asks(&["customer_external_id", "customer_id", "feature", "quantity"])
            .gives::<EntitlementBody>(200),
        post(
            "/api/v1/alerts",
            "Alerts",
            "Watch a limit, usage or amounts: thresholds that are reached are events",
        )
        .takes::<NewAlertBody>()
        .gives::<AlertBody>(201),
        get("/api/v1/alerts", "Alerts", "List alerts").asks(PAGE).gives::<List<AlertBody>>(200),
        get("/api/v1/alerts/{id}", "Alerts", "An alert").gives::<AlertBody>(200),
        put("/api/v1/alerts/{id}", "Alerts", "Change the name or the thresholds of an alert")
            .takes::<AlertChangesBody>()
            .gives::<AlertBody>(200),
        delete("/api/v1/alerts/{id}", "Alerts", "Delete an alert"),
        get("/api/v1/alerts/{id}/triggers", "Alerts", "What an alert told of, newest first")
            .asks(PAGE)
            .gives::<List<TriggerBody>>(200),
        get("/api/v1/subscriptions/{id}/invoices", "Subscriptions", "A subscription's invoices")
            .asks(PAGE)
            .gives::<List<InvoiceBody>>(200),
        get("/api/v1/subscriptions/{id}/entitlements", "Entitlements", "What one subscription alone grants")
            .asks(PAGE)
            .gives::<List<EntitlementBody>>(200),
        put(
            "/api/v1/subscriptions/{id}/entitlements/{feature_id}",
            "Entitlements",
            "Give a subscription a feature otherwise than its plan",
        )
        .takes::<GrantChangesBody>()
        .gives::<PlanFeatureBody>(200),
        delete(
            "/api/v1/subscriptions/{id}/entitlements/{feature_id}",
            "Entitlements",
            "Let a subscription have a feature as its plan grants it",
        ),
        post("/api/v1/subscriptions", "Subscriptions", "Subscribe a customer to a plan")
            .takes::<NewSubscriptionBody>()
            .gives::<SubscriptionBody>(201),
        get("/api/v1/subscriptions", "Subscriptions", "List subscriptions")
            .asks(&["page", "page_size", "cursor", "customer_id", "status", "plan_id"])
            .gives::<List<SubscriptionBody>>(200),
        post("/api/v1/subscriptions/preview", "Subscriptions", "What a subscription would be billed")
            .takes::<NewPreviewBody>()
            .gives::<PreviewBody>(200),
        get("/api/v1/subscriptions/{id}", "Subscriptions", "A subscription").gives::<SubscriptionBody>(200),
        delete(
            "/api/v1/subscriptions/{id}",
            "Subscriptions",
            "Delete a subscription that was never invoiced",
        ),
        post("/api/v1/subscriptions/{id}/cancel", "Subscriptions", "Cancel a subscription")
            .may_take::<CancelBody>()
            .gives::<SubscriptionBody>(200),
        post("/api/v1/subscriptions/{id}/change-plan", "Subscriptions", "Change to another plan")
            .takes::<ChangePlanBody>()
            .gives::<SubscriptionBody>(200),
        post("/api/v1/subscriptions/{id}/change-quantity", "Subscriptions", "Change a quantity, as of seats")
            .takes::<ChangeQuantityBody>()
            .gives::<SubscriptionBody>(200),
        put("/api/v1/subscriptions/{id}/overrides", "Subscriptions", "Replace a subscription's own prices")
            .takes::<OverridesBody>()
            .gives::<SubscriptionBody>(200),
        post("/api/v1/subscriptions/{id}/pause", "Subscriptions", "Pause a subscription")
            .may_take::<PauseBody>()
            .gives::<SubscriptionBody>(200),
        post("/api/v1/subscriptions/{id}/resume", "Subscriptions", "Resume a subscription")
            .may_take::<ResumeBody>()
            .gives::<SubscriptionBody>(200),
        post("/api/v1/subscriptions/{id}/undo", "Subscriptions", "Give up a change or an end to come")
            .gives::<SubscriptionBody>(200),
        post(
            "/api/v1/subscriptions/{id}/one-off-charges",
            "Subscriptions",
            "Charge something once, on the next invoice",
        )
        .takes::<ManualLineBody>()
        .gives::<OneOffChargeBody>(201),
        get(
            "/api/v1/subscriptions/{id}/one-off-charges",
            "Subscriptions",
            "What a subscription was charged once, newest first",
        )
        .asks(PAGE)
        .gives::<List<OneOffChargeBody>>(200),
        delete(
            "/api/v1/subscriptions/{id}/one-off-charges/{charge_id}",
            "Subscriptions",
            "Take back what is not billed yet; 409 `charge_billed` if it is",
        ),
        post("/api/v1/subscriptions/{id}/preview-invoice", "Subscriptions", "The next invoice, as of now")
            .gives::<PreviewInvoiceBody>(200),
        post(
            "/api/v1/subscriptions/{id}/generate-invoice",
            "Subscriptions",
            "Invoice at once what is due, or make the deleted draft of a period again; 409 `nothing_due` says when the \
             next bill is",
        )
        .may_take::<GenerateInvoiceBody>()
        .gives::<InvoiceBody>(201)
        .or(200),
        post("/api/v1/subscriptions/{id}/preview-change", "Subscriptions", "What a change would be billed")
            .may_take::<PreviewChangeBody>()
            .gives::<ComingInvoicesBody>(200),
        get("/api/v1/subscriptions/{id}/usage", "Subscriptions", "Usage in the current period")
            .gives::<UsageByMeterBody>(200),
        post("/api/v1/invoices", "Invoices", "Write an invoice by hand, as a draft")
            .takes::<NewInvoiceBody>()
            .gives::<InvoiceBody>(201),
        get("/api/v1/invoices", "Invoices", "List invoices, by the date they have")
            .asks(&[
                "page",
                "page_size",
                "cursor",
                "customer_id",
                "subscription_id",
                "status",
                "invoice_number",
                "start_date",
                "end_date",
                "time_zone",
            ])
            .gives::<List<InvoiceBody>>(200),
        get("/api/v1/invoices/{id}", "Invoices", "An invoice").gives::<InvoiceBody>(200),
        put("/api/v1/invoices/{id}", "Invoices", "Edit a draft")
            .takes::<InvoiceChangesBody>()
            .gives::<InvoiceBody>(200),
        delete("/api/v1/invoices/{id}", "Invoices", "Delete a draft"),
        post(
            "/api/v1/invoices/{id}/recompute",
            "Invoices",
            "Rate a draft anew; lines written on a subscription's draft are given up",
        )
        .gives::<InvoiceBody>(200),
        post(
            "/api/v1/invoices/{id}/regenerate",
            "Invoices",
            "Make a draft in place of a void invoice of a subscription, from the usage known by now",
        )
        .gives::<InvoiceBody>(201)
        .or(200),
        post(
            "/api/v1/invoices/{id}/generate-token",
            "Invoices",
            "Make a token for the page of an invoice that is no draft; the one before leads nowhere from then on",
        )
        .gives::<PublicTokenBody>(200),
        get("/api/v1/invoices/public/{token}", "Invoices", "An invoice as its customer sees it")
            .gives::<PublicInvoiceBody>(200)
            .public(),
        get("/api/v1/invoices/{id}/explain", "Invoices", "How an invoice came about, step by step")
            .gives::<ExplanationBody>(200),
        Endpoint { answer: Answer::Pdf, ..get("/api/v1/invoices/{id}/pdf", "Invoices", "An invoice as PDF") },
        post("/api/v1/invoices/{id}/finalize", "Invoices", "Open a draft without mailing it")
            .gives::<InvoiceBody>(200),
        post("/api/v1/invoices/{id}/send-email", "Invoices", "Mail an invoice; a draft is opened first")
            .gives::<SentBody>(200),
        post("/api/v1/invoices/{id}/pay", "Invoices", "Mark an invoice paid").gives::<InvoiceBody>(200),
        patch("/api/v1/invoices/{id}/status", "Invoices", "Move an invoice on")
            .takes::<InvoiceStatusBody>()
            .gives::<InvoiceBody>(200),
        post("/api/v1/sdk/track", "Usage", "Track usage, as the SDKs do")
            .takes::<TrackBody>()
            .keyed(KEY_OF_EVENT)
            .gives::<AcceptedBody>(201),
        post("/api/v1/usage", "Usage", "Track usage, as JSON or as CloudEvents")
            .takes::<UsageBody>()
            .keyed(KEY_OF_EVENT)
            .or_takes::<CloudEventBody>(cloud_event::SINGLE)
            .or_takes_list::<CloudEventBody>(cloud_event::BATCH)
            .gives::<AcceptedBody>(201),
        post("/api/v1/usage/batch", "Usage", "Track up to 1,000 events: a verdict for each")
            .takes::<UsageBatchBody>()
            .keyed(KEY_OF_EVENTS)
            .or_takes_list::<CloudEventBody>(cloud_event::BATCH)
            .gives::<UsageBatchAnswerBody>(202)
            .or(207),
        get("/api/v1/usage", "Usage", "Usage of one meter or of all")
            .asks(USAGE)
            .gives::<UsageAnswerBody>(200),
        get("/api/v1/usage/aggregate", "Usage", "Usage of one meter by one customer or all")
            .asks(USAGE)
            .gives::<UsageAnswerBody>(200),
        get("/api/v1/usage/events", "Usage", "What became of one event, and where it counts")
            .asks(&[
                "meter_id",
                "meter_name",
                "meter_token",
                "customer_id",
                "customer_external_id",
                "idempotency_key",
                "timestamp",
            ])
            .gives::<EventStatusBody>(200),
        post("/api/v1/usage/corrections", "Usage", "Correct or take back an event whose period is open")
            .takes::<NewCorrectionBody>()
            .gives::<CorrectionBody>(202),
        get("/api/v1/usage/rejected", "Usage", "Events that were accepted and not counted, with the reason")
            .asks(&[
                "page",
                "page_size",
                "cursor",
                "meter_id",
                "customer_id",
                "status",
                "start_date",
                "end_date",
                "time_zone",
            ])
            .gives::<List<EventBody>>(200),
        post(
            "/api/v1/usage/rejected/{id}/replay",
            "Usage",
            "Send what was not counted again: it stays listed until it counts",
        )
        .gives::<ReplayBody>(202),
    ]
}
