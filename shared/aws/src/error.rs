//! What the log may show of a call that failed.

use app::port::PortError;
use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

/// That `what` failed, by its error code and request id. AWS's own message is left out, since it may quote
/// what was sent: SES names addresses, SQS parts of a body.
pub(crate) fn failed<E: ProvideErrorMetadata>(what: &'static str, error: &SdkError<E>) -> PortError {
    let kind = match error {
        SdkError::ConstructionFailure(_) => "the request could not be made",
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time",
        SdkError::DispatchFailure(failure) if failure.is_io() => "the connection broke",
        SdkError::DispatchFailure(_) => "the request could not be sent",
        SdkError::ResponseError(_) => "the answer makes no sense",
        SdkError::ServiceError(_) => "refused",
        _ => "unknown",
    };
    let code = error.code().unwrap_or("none");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let request = error.request_id().unwrap_or("none");
    PortError::new(what, format!("{kind} (code {code}, status {status}, request {request})"))
}

/// That `what` cannot be done, since this function was not given `name`.
pub(crate) fn not_configured(what: &'static str, name: &str) -> PortError {
    PortError::new(what, format!("{name} is not set for this function"))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use aws_sdk_sqs::{
        config::http::HttpResponse, error::ErrorMetadata, operation::send_message::SendMessageError,
    };

    use super::*;

    #[test]
    fn an_error_tells_its_code_and_not_the_message_of_aws() {
        let metadata = ErrorMetadata::builder()
            .code("InvalidMessageContents")
            .message("the body was {\"secret\":1}")
            .build();
        let mut response = HttpResponse::new(400.try_into().unwrap(), "secret".into());
        response.headers_mut().insert("x-amzn-requestid", "request-1");
        let error =
            failed("sending", &SdkError::service_error(SendMessageError::generic(metadata), response));
        assert_eq!(error.to_string(), "sending failed");
        assert_eq!(
            error.source().unwrap().to_string(),
            "refused (code InvalidMessageContents, status 400, request request-1)"
        );
        assert!(!format!("{error:?}").contains("secret"));
    }
}
