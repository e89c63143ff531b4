//! Who is banned, by HTTP.

use std::net::IpAddr;

use axum::extract::{Path, State as Take};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::api::{answer, away, refused};
use super::{Ask, Refusal, State};

/// A ban as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BanRow {
    /// The address; of IPv6 the first of its /64.
    pub address: IpAddr,
    /// The port; none: all of them.
    pub port: Option<u16>,
    /// Whether the port is one of UDP or of TCP.
    pub transport: &'static str,
    /// How many seconds it still lasts.
    pub seconds: u64,
    /// What for.
    pub why: &'static str,
}

pub(super) async fn list(Take(state): Take<State>) -> Response {
    answer(away(&state, |ask: &dyn Ask| ask.bans()).await)
}

pub(super) async fn lift(Take(state): Take<State>, Path(address): Path<String>) -> Response {
    let Ok(address) = address.parse::<IpAddr>() else {
        let why = format!("{address} is not an IP address");
        return refused(Refusal { status: 400, why });
    };
    let work = move |ask: &dyn Ask| match ask.lift(address) {
        Ok(0) => Err(Refusal { status: 404, why: format!("{address} is not banned") }),
        Ok(lifted) => Ok(json!({ "lifted": lifted })),
        Err(gone) => Err(gone.into()),
    };
    answer(away(&state, work).await)
}
