//! What the port answers as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Take};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Ask, Gone, Refusal, State};
use crate::trace::{Wanted, ladder};
use crate::users::Source;

/// Rows of a page where the request does not say.
const PAGE: usize = 100;
/// Rows of the largest page.
const LARGEST: usize = 10_000;

/// A binding as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Binding {
    /// Whose.
    pub address_of_record: String,
    /// The URI.
    pub contact: String,
    /// Seconds until it ends.
    pub expires: u64,
    /// Its preference.
    pub q: f32,
    /// How requests reach it, e.g. `TCP 192.0.2.1:5060`; empty: as its URI says.
    pub flow: String,
    /// The Call-ID of the registration.
    pub call_id: String,
}

/// A page of bindings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BindingPage {
    /// How many there are in all (of the user, where one was named).
    pub total: usize,
    /// The first row's number.
    pub offset: usize,
    /// The rows.
    pub bindings: Vec<Binding>,
}

/// A user as it is shown: no password, no hash.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserRow {
    /// The name.
    pub user: String,
    /// The realm.
    pub realm: String,
    /// Where it is defined.
    pub source: Source,
}

/// A page of users.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UserPage {
    /// How many there are in all.
    pub total: usize,
    /// The first row's number.
    pub offset: usize,
    /// The rows.
    pub users: Vec<UserRow>,
}

/// Runs what may wait for another thread off this one.
pub(super) async fn away<T: Send + 'static>(
    state: &State,
    work: impl FnOnce(&dyn Ask) -> T + Send + 'static,
) -> Result<T, Gone> {
    let ask = Arc::clone(&state.ask);
    tokio::task::spawn_blocking(move || work(&*ask)).await.map_err(|_| Gone)
}

pub(super) fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({ "error": refusal.why }))).into_response()
}

/// The answer to what went as asked, or why not.
pub(super) fn answer<T: Serialize, E: Into<Refusal>>(
    result: Result<Result<T, E>, Gone>,
) -> Response {
    match result {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => refused(error.into()),
        Err(gone) => refused(gone.into()),
    }
}

#[derive(Deserialize)]
pub(super) struct Paging {
    user: Option<String>,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

impl Paging {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, LARGEST)
    }
}

pub(super) async fn health(Take(state): Take<State>) -> Response {
    match away(&state, |ask| ask.metrics().map(|_| ())).await {
        Ok(Ok(())) => Json(json!({ "status": "ok" })).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not answering" })))
            .into_response(),
    }
}

pub(super) async fn status(Take(state): Take<State>) -> Response {
    answer(away(&state, |ask| Ok::<_, Gone>(ask.about())).await)
}

pub(super) async fn bindings(Take(state): Take<State>, Query(paging): Query<Paging>) -> Response {
    let limit = paging.limit();
    answer(away(&state, move |ask| ask.bindings(paging.user, paging.offset, limit)).await)
}

pub(super) async fn users(Take(state): Take<State>, Query(paging): Query<Paging>) -> Response {
    let limit = paging.limit();
    answer(away(&state, move |ask| ask.users(paging.offset, limit)).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    user: String,
    password: Option<String>,
}

pub(super) async fn add_user(Take(state): Take<State>, Json(new): Json<NewUser>) -> Response {
    let work = move |ask: &dyn Ask| {
        ask.set_user(&new.user, new.password.as_deref(), false)
            .map(|made| json!({ "user": new.user, "password": made }))
    };
    answer(away(&state, work).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: Option<String>,
}

pub(super) async fn change_user(
    Take(state): Take<State>,
    Path(user): Path<String>,
    Json(new): Json<NewPassword>,
) -> Response {
    let work = move |ask: &dyn Ask| {
        ask.set_user(&user, new.password.as_deref(), true)
            .map(|made| json!({ "user": user, "password": made }))
    };
    answer(away(&state, work).await)
}

pub(super) async fn remove_user(Take(state): Take<State>, Path(user): Path<String>) -> Response {
    let work = move |ask: &dyn Ask| ask.remove_user(&user).map(|()| json!({ "removed": user }));
    answer(away(&state, work).await)
}

pub(super) async fn reload(Take(state): Take<State>) -> Response {
    let work = |ask: &dyn Ask| ask.reload().map(|done| json!({ "reloaded": done }));
    answer(away(&state, work).await)
}

#[derive(Deserialize)]
pub(super) struct Trace {
    call_id: Option<String>,
    user: Option<String>,
    #[serde(default)]
    messages: bool,
    #[serde(default)]
    json: bool,
}

pub(super) async fn trace(Take(state): Take<State>, Query(trace): Query<Trace>) -> Response {
    let wanted = match (trace.call_id, trace.user) {
        (Some(id), _) => Wanted::CallId(id),
        (None, Some(user)) => Wanted::User(user),
        (None, None) => Wanted::All,
    };
    match away(&state, move |ask| ask.trace(wanted)).await {
        Ok(Ok(passed)) if trace.json => {
            let rows: Vec<_> = passed
                .iter()
                .map(|m| {
                    json!({
                        "at": m.at, "inward": m.inward, "transport": m.transport,
                        "peer": m.peer.to_string(),
                        "message": String::from_utf8_lossy(&m.bytes),
                    })
                })
                .collect();
            Json(rows).into_response()
        }
        Ok(Ok(passed)) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], ladder(&passed, trace.messages))
                .into_response()
        }
        _ => refused(Gone.into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    enabled: bool,
}

pub(super) async fn set_trace(Take(state): Take<State>, Json(switch): Json<Switch>) -> Response {
    let work = move |ask: &dyn Ask| {
        ask.set_trace(switch.enabled).map(|was| json!({ "enabled": switch.enabled, "was": was }))
    };
    answer(away(&state, work).await)
}

pub(super) async fn calls(Take(state): Take<State>) -> Response {
    answer(away(&state, |ask| ask.calls(100)).await)
}
