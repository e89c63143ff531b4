//! Figures in the text format of Prometheus.

use axum::extract::State as Take;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{State, api::away};

/// A set of figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    figures: Vec<Figure>,
}

#[derive(Debug, Clone, PartialEq)]
struct Figure {
    name: &'static str,
    help: &'static str,
    counter: bool,
    rows: Vec<(Vec<(&'static str, String)>, u64)>,
}

impl Metrics {
    /// Something that only grows. Its name should end in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) -> &mut Self {
        self.labelled(name, help, true, Vec::new(), value)
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) -> &mut Self {
        self.labelled(name, help, false, Vec::new(), value)
    }

    /// One row of a figure with labels.
    pub fn labelled(
        &mut self,
        name: &'static str,
        help: &'static str,
        counter: bool,
        labels: Vec<(&'static str, String)>,
        value: u64,
    ) -> &mut Self {
        match self.figures.iter_mut().find(|f| f.name == name) {
            Some(figure) => figure.rows.push((labels, value)),
            None => self.figures.push(Figure { name, help, counter, rows: vec![(labels, value)] }),
        }
        self
    }

    /// The value of a figure without labels.
    pub fn value(&self, name: &str) -> Option<u64> {
        let figure = self.figures.iter().find(|f| f.name == name)?;
        figure.rows.first().map(|(_, value)| *value)
    }

    /// Prometheus's text.
    pub fn render(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for figure in &self.figures {
            let Figure { name, help, counter, rows } = figure;
            let kind = if *counter { "counter" } else { "gauge" };
            // Writing into a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(label, value)| {
                        let value =
                            value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                        format!("{label}=\"{value}\"")
                    })
                    .collect();
                let _ = if labels.is_empty() {
                    writeln!(out, "{name} {value}")
                } else {
                    writeln!(out, "{name}{{{}}} {value}", labels.join(","))
                };
            }
        }
        out
    }
}

pub(super) async fn page(Take(state): Take<State>) -> Response {
    match away(&state, |ask| ask.metrics()).await {
        Ok(Ok(metrics)) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
                .into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not answering\n").into_response(),
    }
}
