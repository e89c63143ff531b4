//! Line charts as SVG: a few lines over one axis, plain or logarithmic.

use maud::{Markup, PreEscaped, html};

use crate::report::short;

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Its points, in order.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What stands above it.
    pub title: String,
    /// What the horizontal axis counts.
    pub across: String,
    /// What the vertical axis counts.
    pub up: String,
    /// Whether the axes are logarithmic: horizontal, vertical.
    pub log: (bool, bool),
    /// What is written at places of the horizontal axis, instead of numbers found here.
    pub marks: Vec<(f64, String)>,
    /// The lines.
    pub lines: Vec<Line>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Colours that are told apart without colour sight, too; the dashes help.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];
const DASHES: [&str; 6] = ["", "7 4", "2 3", "9 3 2 3", "4 2", "1 3"];

/// The style of a chart that stands alone.
const ALONE: &str = "text{font:11px sans-serif;fill:#222}.t{font:bold 13px sans-serif}\
.g{stroke:#8884;stroke-width:1}";

/// One axis: from numbers to places between 0 and 1.
struct Axis {
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, log: bool) -> Axis {
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|v| v.is_finite() && (!log || *v > 0.0)) {
            (from, to) = (from.min(value), to.max(value));
        }
        if from > to {
            (from, to) = (1.0, 10.0);
        }
        if log {
            // Whole powers of ten.
            from = 10f64.powf(from.log10().floor());
            to = 10f64.powf(to.log10().ceil()).max(from * 10.0);
        } else {
            from = from.min(0.0);
            to = ticks(from, to.max(from + 1e-9)).last().copied().unwrap_or(to).max(to);
        }
        Axis { from, to, log }
    }

    fn place(&self, value: f64) -> f64 {
        let (value, from, to) = if self.log {
            (value.max(self.from).log10(), self.from.log10(), self.to.log10())
        } else {
            (value, self.from, self.to)
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            return ticks(self.from, self.to);
        }
        let (first, last) = (self.from.log10().round() as i32, self.to.log10().round() as i32);
        (first..=last.min(first + 12)).map(|power| 10f64.powi(power)).collect()
    }
}

/// Five to ten round numbers from `from` to at least `to`.
fn ticks(from: f64, to: f64) -> Vec<f64> {
    let rough = (to - from) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|s| *s >= rough);
    let step = step.unwrap_or(power * 10.0);
    let mut all = vec![from];
    while all.len() < 12 && all.last().is_some_and(|last| *last < to - step * 1e-6) {
        all.push(from + step * all.len() as f64);
    }
    all
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{}M", trim(value / 1e6)),
        v if v >= 1e4 => format!("{}k", trim(value / 1e3)),
        _ => trim(value),
    }
}

fn trim(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".into() } else { text.into() }
}

impl Chart {
    /// What is within the frame.
    fn plot(&self) -> Markup {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let marks = self.marks.iter().map(|(at, _)| *at);
        let across = Axis::new(points().map(|p| p.0).chain(marks), self.log.0);
        let up = Axis::new(points().map(|p| p.1), self.log.1);
        let x = |value: f64| LEFT + across.place(value) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - up.place(value) * (HEIGHT - TOP - BOTTOM);
        let marks: Vec<(f64, String)> = if self.marks.is_empty() {
            across.ticks().into_iter().map(|at| (at, number(at))).collect()
        } else {
            self.marks.clone()
        };
        html! {
            @for tick in up.ticks() {
                line class="g" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(fixed(y(tick))) y2=(fixed(y(tick))) {}
                text x=(LEFT - 6.0) y=(fixed(y(tick) + 4.0)) text-anchor="end" { (number(tick)) }
            }
            @for (at, text) in &marks {
                line class="g" x1=(fixed(x(*at))) x2=(fixed(x(*at))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                text x=(fixed(x(*at))) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (text) }
            }
            text x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 6.0) text-anchor="middle" {
                (self.across)
            }
            text x="12" y=((HEIGHT - BOTTOM + TOP) / 2.0) text-anchor="middle"
                transform=(format!("rotate(-90 12 {})", (HEIGHT - BOTTOM + TOP) / 2.0)) {
                (self.up)
            }
            @for (index, line) in self.lines.iter().enumerate() {
                @let (colour, dashes) = style(index);
                polyline points=(path(&line.points, &x, &y)) fill="none" stroke=(colour)
                    stroke-dasharray=(dashes) stroke-width="2" {}
                @if line.points.len() <= 40 {
                    @for (a, b) in &line.points {
                        circle cx=(fixed(x(*a))) cy=(fixed(y(*b))) r="3" fill=(colour) {
                            title { (line.name) ": " (short(*a)) ", " (short(*b)) }
                        }
                    }
                }
            }
        }
    }

    /// The chart as an SVG document of its own, with its title and its legend.
    pub fn svg(&self) -> String {
        let rows = self.lines.len().div_ceil(2) as f64;
        let height = HEIGHT + 24.0 + 18.0 * rows + 8.0;
        let document = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height}"))
                role="img" aria-label=(self.title) {
                style { (PreEscaped(ALONE)) }
                rect width="100%" height="100%" fill="#fff" {}
                text x=(WIDTH / 2.0) y="17" text-anchor="middle" class="t" { (self.title) }
                g transform="translate(0 24)" {
                    (self.plot())
                    @for (index, line) in self.lines.iter().enumerate() {
                        @let (colour, dashes) = style(index);
                        @let left = LEFT + (index % 2) as f64 * (WIDTH - LEFT) / 2.0;
                        @let y = HEIGHT + 14.0 + 18.0 * (index / 2) as f64;
                        line x1=(left) x2=(left + 30.0) y1=(y - 4.0) y2=(y - 4.0) stroke=(colour)
                            stroke-width="3" stroke-dasharray=(dashes) {}
                        text x=(left + 38.0) y=(y) { (line.name) }
                    }
                }
            }
        };
        document.into_string() + "\n"
    }

    /// The chart as a figure with its legend.
    pub(crate) fn draw(&self) -> Markup {
        let view = format!("0 0 {WIDTH} {HEIGHT}");
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(view) role="img" aria-label=(self.title) { (self.plot()) }
                p class="legend" {
                    @for (index, line) in self.lines.iter().enumerate() {
                        @let (colour, dashes) = style(index);
                        span {
                            svg viewBox="0 0 30 8" width="30" height="8" aria-hidden="true" {
                                line x1="0" x2="30" y1="4" y2="4" stroke=(colour) stroke-width="3"
                                    stroke-dasharray=(dashes) {}
                            }
                            " " (line.name)
                        }
                    }
                }
            }
        }
    }
}

/// The colour and the dashes of a line.
fn style(at: usize) -> (&'static str, &'static str) {
    let of = |all: &[&'static str; 6]| all.get(at % all.len()).copied().unwrap_or_default();
    (of(&COLOURS), of(&DASHES))
}

fn fixed(value: f64) -> String {
    format!("{value:.1}")
}

fn path(points: &[(f64, f64)], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let places = points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b)));
    places.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round_and_hold_everything() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.0, 4321.0), [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0]);
        let plain = Axis::new([3.0, 4321.0].into_iter(), false);
        assert_eq!((plain.from, plain.to, plain.place(2500.0)), (0.0, 5000.0, 0.5));
        let log = Axis::new([0.0, 12.0, 4321.0].into_iter(), true);
        assert_eq!((log.from, log.to), (10.0, 10_000.0));
        assert_eq!(log.ticks(), [10.0, 100.0, 1000.0, 10_000.0]);
        assert!((log.place(1000.0) - 2.0 / 3.0).abs() < 1e-9);
        // Nothing, one value, and what is no number: still an axis.
        for values in [&[][..], &[5.0], &[0.0], &[f64::NAN, f64::INFINITY]] {
            for log in [false, true] {
                let axis = Axis::new(values.iter().copied(), log);
                assert!(axis.from < axis.to && !axis.ticks().is_empty(), "{values:?}");
                assert!((0.0..=1.0).contains(&axis.place(7.0)));
            }
        }
        let texts: Vec<String> =
            [0.0, 0.5, 1500.0, 20_000.0, 3e6].into_iter().map(number).collect();
        assert_eq!(texts, ["0", "0.5", "1500", "20k", "3M"]);
    }

    #[test]
    fn a_chart_has_its_lines_and_no_script() {
        let chart = Chart {
            title: "a <b>".into(),
            across: "x".into(),
            up: "y".into(),
            log: (false, true),
            marks: Vec::new(),
            lines: vec![
                Line { name: "one & two".into(), points: vec![(0.0, 1.0), (10.0, 1000.0)] },
                Line { name: "none".into(), points: Vec::new() },
            ],
        };
        let text = chart.draw().into_string();
        assert!(text.contains("points=\"64.0,256.0 704.0,12.0\""), "{text}");
        let alone = chart.svg();
        assert!(alone.starts_with("<svg xmlns=") && alone.contains("one &amp; two"), "{alone}");
        assert!(alone.contains("points=\"64.0,256.0 704.0,12.0\""), "{alone}");
        assert!(text.contains("a &lt;b&gt;") && text.contains("one &amp; two"), "{text}");
        assert!(!text.contains("<script") && !text.contains("http"));
    }
}
