//! SVG picture of an evening: replicas needed by the load, floor, ready replicas, machines.

use std::fmt::Write;

use chrono::TimeDelta;
use primetime_core::Instant;
use primetime_core::schedule::in_zone;
use primetime_sim::announced::evening::Evening;
use primetime_sim::evening::recording::{Look, Workload};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 1180.0;
const REPLICAS: (f64, f64) = (60.0, 420.0);
const MACHINES: (f64, f64) = (480.0, 600.0);
const HEIGHT: f64 = 650.0;

/// Length of the time axis after the last change in the evening.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// Panel of the picture, which maps times and values to coordinates.
struct Panel {
    from: Instant,
    to: Instant,
    top: f64,
    bottom: f64,
    most: f64,
}

impl Panel {
    fn x(&self, at: Instant) -> f64 {
        let share = (at - self.from).as_seconds_f64() / (self.to - self.from).as_seconds_f64();
        LEFT + (RIGHT - LEFT) * share.clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * value / self.most
    }

    /// Returns the corners of a step line. Equal successive values share a step.
    fn steps(&self, values: impl Iterator<Item = (Instant, f64)>) -> Vec<(f64, f64)> {
        let mut corners: Vec<(f64, f64)> = Vec::new();
        let mut last = None;
        for (at, value) in values.filter(|(at, _)| *at >= self.from && *at <= self.to) {
            if last == Some(value) {
                continue;
            }
            if let Some(before) = last {
                corners.push((self.x(at), self.y(before)));
            }
            corners.push((self.x(at), self.y(value)));
            last = Some(value);
        }
        corners.extend(last.map(|value| (RIGHT, self.y(value))));
        corners
    }

    fn axis(&self, out: &mut String, name: &str) {
        let _ =
            writeln!(out, r#"<text x="{LEFT}" y="{}" class="name">{name}</text>"#, self.top - 10.0);
        let step = round_up(self.most / 5.0);
        let mut value = 0.0;
        while value <= self.most {
            let y = self.y(value);
            let _ = writeln!(out, r#"<path d="M{LEFT} {y:.1}H{RIGHT}" class="grid"/>"#);
            let _ = writeln!(
                out,
                r#"<text x="{}" y="{:.1}" class="end">{value}</text>"#,
                LEFT - 6.0,
                y + 4.0
            );
            value += step;
        }
    }
}

/// Rounds up to 1, 2 or 5 times a power of ten.
fn round_up(number: f64) -> f64 {
    let power = 10_f64.powf(number.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|n| *n >= number).unwrap_or(power)
}

fn line(out: &mut String, class: &str, corners: &[(f64, f64)]) {
    let points: Vec<String> = corners.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(out, r#"<polyline class="{class}" points="{}"/>"#, points.join(" "));
}

fn sum(evening: &Evening, look: &Look, of: impl Fn(&Workload) -> i64) -> f64 {
    let ours =
        look.workloads.iter().filter(|w| evening.targets.iter().any(|t| t.workload == w.name));
    number(ours.map(of).sum())
}

#[expect(clippy::cast_precision_loss, reason = "replicas and machines")]
fn number(n: i64) -> f64 {
    n as f64
}

/// Draws the evening, with the ready replicas of each peer strategy.
///
/// The function draws the picture in layers, and each layer covers the layers before.
pub fn draw(evening: &Evening, looks: &[Look], peers: &[(&str, &[Look])]) -> String {
    let demand =
        |at: Instant| number(evening.targets.iter().map(|t| t.demand(evening.load(at))).sum());
    // The time axis ends after the last look with a held workload, or with other replicas or
    // machines than at the beginning.
    let quiet = looks.first().map(|l| (l.machines, sum(evening, l, |w| w.replicas)));
    let last = looks.iter().rfind(|l| {
        quiet != Some((l.machines, sum(evening, l, |w| w.replicas)))
            || l.workloads.iter().any(|w| w.held.is_some())
    });
    let to = last.map_or(evening.end, |l| (l.at + MARGIN).min(evening.end));
    let highest =
        |looks: &[Look], of: &dyn Fn(&Look) -> f64| looks.iter().map(of).fold(0.0, f64::max);
    let ready = |look: &Look| sum(evening, look, |w| w.ready);
    let mut most = highest(looks, &|look| ready(look).max(demand(look.at)));
    for (_, looks) in peers {
        most = most.max(highest(looks, &ready));
    }
    let panel = |(top, bottom), most: f64| Panel {
        from: evening.begin,
        to,
        top,
        bottom,
        most: most.max(1.0) * 1.08,
    };
    let replicas = panel(REPLICAS, most);
    #[expect(clippy::cast_precision_loss, reason = "machines")]
    let machine_count = |look: &Look| look.machines as f64;
    let machines = panel(MACHINES, highest(looks, &machine_count));

    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<title>{} in {}</title>
<style>
 rect.paper {{ fill: #fff }} text {{ fill: #333 }} .end {{ text-anchor: end }} .middle {{ text-anchor: middle }} .name {{ font-weight: bold }}
 path.grid {{ stroke: #e5e5e5 }} path.mark {{ stroke: #999; stroke-dasharray: 3 3 }}
 polyline {{ fill: none; stroke-width: 2 }} .demand {{ fill: #fde2c4; stroke: #e8943a; stroke-width: 1 }} .floor {{ stroke: #555; stroke-dasharray: 6 4 }}
 .ready {{ stroke: #1a7f37; stroke-width: 2.5 }} .peer0 {{ stroke: #c0392b; stroke-width: 1.2 }} .peer1 {{ stroke: #7b4fbf; stroke-width: 1.2 }}
 .machines {{ fill: #d5e3f5; stroke: #2b6cb0 }}
</style>
<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>
"#,
        escaped(&evening.name),
        escaped(&evening.namespace)
    );
    replicas.axis(&mut out, "Replicas");
    machines.axis(&mut out, "Machines started for the event");
    let filled = |panel: &Panel, mut corners: Vec<(f64, f64)>| {
        if let (Some(first), Some(last)) = (corners.first().copied(), corners.last().copied()) {
            corners.push((last.0, panel.bottom));
            corners.push((first.0, panel.bottom));
        }
        corners
    };
    let needed = replicas.steps(looks.iter().map(|l| (l.at, demand(l.at))));
    line(&mut out, "demand", &filled(&replicas, needed));
    for (n, (_, looks)) in peers.iter().enumerate() {
        line(
            &mut out,
            &format!("peer{n}"),
            &replicas.steps(looks.iter().map(|l| (l.at, ready(l)))),
        );
    }
    let held = |l: &Look| sum(evening, l, |w| w.held.unwrap_or(0));
    line(&mut out, "floor", &replicas.steps(looks.iter().map(|l| (l.at, held(l)))));
    line(&mut out, "ready", &replicas.steps(looks.iter().map(|l| (l.at, ready(l)))));
    let started = machines.steps(looks.iter().map(|l| (l.at, machine_count(l))));
    line(&mut out, "machines", &filled(&machines, started));
    marks(&mut out, evening, &replicas);
    legend(&mut out, peers);
    out.push_str("</svg>\n");
    out
}

/// Draws marks for T0, start and end, and the times of day below the panels.
fn marks(out: &mut String, evening: &Evening, panel: &Panel) {
    let window = evening.window();
    let marks = [("T0", window.ready_by), ("start", window.start), ("end", window.end)];
    for (n, (name, at)) in marks.into_iter().enumerate() {
        let (x, anchor) = (panel.x(at), if n == 0 { "end" } else { "start" });
        let _ = writeln!(
            out,
            r#"<path class="mark" d="M{x:.1} {}V{}"/><text x="{x:.1}" y="{}" text-anchor="{anchor}" dx="{}">{name}</text>"#,
            REPLICAS.0,
            MACHINES.1,
            REPLICAS.0 + 12.0,
            if n == 0 { -4 } else { 4 },
        );
    }
    let zone = evening.spec.schedule.zone_name();
    let minutes = round_minutes((panel.to - panel.from).num_minutes() / 10);
    let mut at = panel.from;
    while at <= panel.to {
        if at.timestamp() % 60 == 0 && (at.timestamp() / 60) % minutes == 0 {
            let wall = in_zone(at, zone);
            let _ = writeln!(
                out,
                r#"<text x="{:.1}" y="{}" class="middle">{}</text>"#,
                panel.x(at),
                MACHINES.1 + 18.0,
                escaped(wall.get(15..20).unwrap_or_default()),
            );
        }
        at += TimeDelta::seconds(1);
    }
}

fn round_minutes(minutes: i64) -> i64 {
    [1, 2, 5, 10, 15, 30, 60, 120, 240, 720].into_iter().find(|n| *n >= minutes).unwrap_or(1440)
}

fn legend(out: &mut String, peers: &[(&str, &[Look])]) {
    let ours = [("demand", "needed by the load"), ("floor", "floor"), ("ready", "ready")];
    let classes = ["peer0", "peer1"];
    let theirs = classes.into_iter().zip(peers).map(|(class, (name, _))| (class, *name));
    let mut x = 240.0;
    for (class, name) in ours.into_iter().chain(theirs) {
        let name =
            if class.starts_with("peer") { format!("ready, {name}") } else { name.to_owned() };
        let _ = writeln!(
            out,
            r#"<polyline class="{class}" points="{x},26 {},26"/><text x="{}" y="30">{}</text>"#,
            x + 26.0,
            x + 32.0,
            escaped(&name),
        );
        x += 170.0;
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
