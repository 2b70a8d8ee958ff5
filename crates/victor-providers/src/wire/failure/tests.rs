use rstest::rstest;

use super::*;

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> ProviderError {
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    from_answer("p", status, &headers, body.as_bytes())
}

#[rstest]
#[case::key(401, r#"{"error":{"message":"bad key","code":"invalid_api_key"}}"#, Kind::Authentication, "bad key")]
#[case::anthropic(
    529,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    Kind::Overloaded,
    "Overloaded"
)]
#[case::rate(429, r#"{"error":{"message":"slow down","type":"requests"}}"#, Kind::RateLimited, "slow down")]
#[case::quota(429, r#"{"error":{"message":"no money","code":"insufficient_quota"}}"#, Kind::QuotaExceeded, "no money")]
#[case::credit(
    400,
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
    Kind::QuotaExceeded,
    "credit balance"
)]
#[case::window(
    400,
    r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
    Kind::ContextLength,
    "too long"
)]
#[case::prompt(
    400,
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#,
    Kind::ContextLength,
    "9 > 8"
)]
#[case::model(
    404,
    r#"{"error":{"message":"no such model","code":"model_not_found"}}"#,
    Kind::NotFound,
    "no such model"
)]
#[case::string(500, r#"{"error":"boom"}"#, Kind::Server, "boom")]
#[case::array(
    400,
    r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
    Kind::Authentication,
    "API key not valid"
)]
#[case::detail(422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, Kind::InvalidRequest, "field required")]
#[case::nested(
    502,
    r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"upstream down"}}}"#,
    Kind::Server,
    "upstream down"
)]
#[case::html(
    503,
    "<html><head><title>Bad gateway</title></head></html>",
    Kind::Overloaded,
    "web page instead of an API answer: Bad gateway"
)]
#[case::empty(403, "", Kind::PermissionDenied, "HTTP 403 without a message")]
#[case::text(400, "plain words", Kind::InvalidRequest, "plain words")]
fn errors_are_classified(#[case] status: u16, #[case] body: &str, #[case] kind: Kind, #[case] says: &str) {
    let error = answer(status, &[("x-request-id", "r1")], body);
    assert_eq!(error.kind, kind);
    assert!(error.message.contains(says), "{}", error.message);
    assert_eq!(error.status, Some(status));
    assert_eq!(error.request_id.as_deref(), Some("r1"));
}

#[rstest]
#[case::seconds(&[("retry-after", "7")], Some(7_000))]
#[case::fraction(&[("retry-after", "0.5")], Some(500))]
#[case::millis_first(&[("retry-after", "7"), ("retry-after-ms", "250")], Some(250))]
#[case::date(&[("date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT")], Some(30_000))]
#[case::date_in_the_past(&[("date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2015 07:00:00 GMT")], Some(0))]
#[case::openai_limit(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1m2s"), ("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset-requests", "9m")], Some(62_000))]
#[case::anthropic_limit(&[("date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", "2015-10-21T07:28:05Z")], Some(5_000))]
#[case::nonsense(&[("retry-after", "soon")], None)]
#[case::negative(&[("retry-after", "-3")], None)]
fn waits_come_from_the_headers(#[case] headers: &[(&str, &str)], #[case] millis: Option<u64>) {
    let error = answer(429, headers, "{}");
    assert_eq!(error.retry_after, millis.map(Duration::from_millis));
}

#[test]
fn googles_retry_delay_counts() {
    let body =
        r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34s"}]}}"#;
    assert_eq!(answer(429, &[], body).retry_after, Some(Duration::from_secs(34)));
}

#[test]
fn long_messages_are_cut_between_characters() {
    let error = answer(400, &[], &format!(r#"{{"error":{{"message":"{}"}}}}"#, "ü".repeat(5000)));
    assert!(error.message.chars().count() < 850, "{}", error.message.len());
}
