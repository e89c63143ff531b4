//! The HTTP port: metrics, health, bindings and users as JSON, and a small console.
//!
//! It runs on a thread of its own and asks the threads that carry calls by [`Ask`]; nothing it
//! does holds up a message. Passwords and their hashes are never shown.

mod access;
mod api;
mod bans;
mod console;
mod metrics;
mod overload;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::oneshot;

use axum::Router;
use axum::routing::{delete, get, post};

pub use api::{Binding, BindingPage, UserPage, UserRow};
pub use bans::BanRow;
pub use metrics::Metrics;
pub use overload::{ClassRow, NeighbourRow, OverloadRow};

use crate::trace::{Call, Passed, Wanted};

/// What the HTTP port needs of the rest of the server.
///
/// Every method may wait for another thread, so handlers call it off the port's own thread.
pub trait Ask: Send + Sync + 'static {
    /// The figures.
    fn metrics(&self) -> Result<Metrics, Gone>;
    /// Bindings from `offset`, at most `limit`, of one user where one is named.
    fn bindings(
        &self,
        user: Option<String>,
        offset: usize,
        limit: usize,
    ) -> Result<BindingPage, Gone>;
    /// Users from `offset`, at most `limit`.
    fn users(&self, offset: usize, limit: usize) -> Result<UserPage, Gone>;
    /// Adds a user or changes its password; gives the password that was made where none was given.
    fn set_user(
        &self,
        user: &str,
        password: Option<&str>,
        change: bool,
    ) -> Result<Option<String>, Refusal>;
    /// Removes a user.
    fn remove_user(&self, user: &str) -> Result<(), Refusal>;
    /// Reads the configuration again; what is wrong with it otherwise.
    fn reload(&self) -> Result<String, Refusal>;
    /// Messages of the trace.
    fn trace(&self, wanted: Wanted) -> Result<Vec<Passed>, Gone>;
    /// The newest calls of the trace.
    fn calls(&self, most: usize) -> Result<Vec<Call>, Gone>;
    /// Switches the trace; says whether it was on.
    fn set_trace(&self, on: bool) -> Result<bool, Gone>;
    /// Who is banned.
    fn bans(&self) -> Result<Vec<BanRow>, Gone>;
    /// Lifts the bans of an address; gives how many there were.
    fn lift(&self, address: std::net::IpAddr) -> Result<usize, Gone>;
    /// What is refused for overload, and who is spared.
    fn overload(&self) -> Result<OverloadRow, Gone>;
    /// What the console shows of the server.
    fn about(&self) -> About;
}

/// The thread that carries calls is not there any more, or too busy to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// A change that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Why.
    pub why: String,
}

impl From<Gone> for Refusal {
    fn from(_: Gone) -> Self {
        Refusal { status: 503, why: "the server is stopping or too busy".into() }
    }
}

/// What the console shows of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// The version.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime: u64,
    /// The listeners, e.g. `udp 0.0.0.0:5060`.
    pub listeners: Vec<String>,
    /// The domains.
    pub domains: Vec<String>,
    /// The data folder.
    pub data: String,
    /// Whether messages are being kept.
    pub tracing: bool,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub struct Access {
    /// The token in the data folder: allows everything.
    pub token: String,
    /// The configured token: allows everything, and is needed for everything.
    pub configured: Option<String>,
}

#[derive(Clone)]
struct State {
    ask: Arc<dyn Ask>,
    access: Arc<Access>,
}

/// The routes.
pub fn routes(ask: Arc<dyn Ask>, access: Access) -> Router {
    let state = State { ask, access: Arc::new(access) };
    Router::new()
        .route("/", get(console::home))
        .route("/calls/{call_id}", get(console::call))
        .route("/health", get(api::health))
        .route("/metrics", get(metrics::page))
        .route("/api/status", get(api::status))
        .route("/api/bindings", get(api::bindings))
        .route("/api/users", get(api::users).post(api::add_user))
        .route("/api/users/{user}", delete(api::remove_user).put(api::change_user))
        .route("/api/bans", get(bans::list))
        .route("/api/bans/{address}", delete(bans::lift))
        .route("/api/overload", get(overload::show))
        .route("/api/calls", get(api::calls))
        .route("/api/trace", get(api::trace).post(api::set_trace))
        .route("/api/reload", post(api::reload))
        .layer(axum::middleware::from_fn_with_state(state.clone(), access::check))
        .layer(axum::extract::DefaultBodyLimit::max(16 * 1024))
        .with_state(state)
}

/// Binds the port.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves the port on a thread of its own, until something is sent to `end`'s other side: the port is
/// free then, and what was asked before is still answered.
pub fn serve(
    listener: TcpListener,
    ask: Arc<dyn Ask>,
    access: Access,
    end: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(async move {
            // Neither can fail but for want of resources; then there is no HTTP, and calls go on.
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                let ended = async {
                    if end.await.is_err() {
                        // Nobody is there who could end it.
                        std::future::pending().await
                    }
                };
                let serve = axum::serve(listener, routes(ask, access));
                let _ = serve.with_graceful_shutdown(ended).await;
            }
        });
    })?;
    Ok(())
}
