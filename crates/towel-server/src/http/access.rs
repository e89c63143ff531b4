//! Who may do what by HTTP.

use axum::extract::{Request, State as Take};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::State;
use crate::secret::same;

/// Lets a request through, or says why not.
///
/// A page of the web that a person looks at can send requests to loopback. It cannot read the
/// token, so changes are safe; and it can read answers only under a name of its own that it points
/// at us, so without a token we answer to no name but `localhost` and addresses.
pub(super) async fn check(Take(state): Take<State>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .unwrap_or("");
    let access = &state.access;
    let known = same(given, &access.token)
        || access.configured.as_deref().is_some_and(|token| same(given, token));
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let open = access.configured.is_none() && reading && local_name(&request);
    if known || open || request.uri().path() == "/health" {
        next.run(request).await
    } else {
        let mut answer = (
            StatusCode::UNAUTHORIZED,
            "this needs `Authorization: Bearer TOKEN`; the token is in the file http-token of the \
             data folder\n",
        )
            .into_response();
        answer
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        answer
    }
}

fn local_name(request: &Request) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|v| v.to_str().ok())
        .or_else(|| request.uri().authority().map(|a| a.as_str()))
        .unwrap_or("");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}
