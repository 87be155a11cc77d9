//! Finding of a rule of `check`, and the formats for terminal and programs.

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use crate::screen;

/// Result of a rule. A result that the rule could not determine is never shown as fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The rule passes.
    Ok,
    /// Something will surprise.
    Warning,
    /// Something does not work.
    Wrong,
    /// The result is unknown.
    Unknown,
    /// The user has no right to read what the rule judges. The exit code does not depend on it.
    NotAsked,
}

impl State {
    /// Returns the mark in front of a line. The mark and the word agree, because some terminals
    /// have no colours and some fonts have no marks.
    fn mark(self) -> &'static str {
        match self {
            Self::Ok => "√",
            Self::Warning => "‼ warning:",
            Self::Wrong => "× wrong:",
            Self::Unknown => "? unknown:",
            Self::NotAsked => "- not asked:",
        }
    }
}

/// Section of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    /// The API server.
    Kubernetes,
    /// Rights and kinds that an installation needs.
    BeforeTheInstallation,
    /// Kinds, operator, webhook and alerts.
    Installation,
    /// Surges, runs, calendars and holds of the namespace.
    Surges,
}

impl Section {
    fn title(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::BeforeTheInstallation => "before the installation",
            Self::Installation => "installation",
            Self::Surges => "surges",
        }
    }
}

/// Rule of `check`. The name is the heading in `docs/troubleshooting.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The API server answers, and is new enough.
    ApiServer,
    /// The clock of the computer agrees with the API server.
    Clock,
    /// The user may create what the chart has.
    InstallRights,
    /// The API server serves admission policies.
    AdmissionPolicies,
    /// No kinds of Primetime exist before the installation.
    KindsBefore,
    /// The API server serves every kind of Primetime.
    Kinds,
    /// The served kinds have every field that the plugin knows.
    KindsVersion,
    /// An operator leads.
    Leader,
    /// All pods of the operator are available.
    OperatorPods,
    /// The webhook refuses what CEL cannot check.
    Webhook,
    /// The user may announce events and override runs.
    Rights,
    /// The alerts of the chart are loaded.
    Alerts,
    /// The operator has planned the newest spec of a surge.
    Surge,
    /// A run is not at risk.
    Run,
    /// No preflight rule has a finding.
    Preflight,
    /// Every signal has a value.
    Signals,
    /// Every degradation step can be carried out.
    Steps,
    /// No target needs more than `maxReplicas`.
    Clipped,
    /// No Job has failed.
    Jobs,
    /// No degradation step is active.
    Degraded,
    /// The feed of a calendar can be used.
    Calendar,
    /// No other writer keeps lowering a target.
    Hold,
}

impl Rule {
    /// Returns the name of the rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "api-server",
            Self::Clock => "clock",
            Self::InstallRights => "install-rights",
            Self::AdmissionPolicies => "admission-policies",
            Self::KindsBefore => "kinds-before",
            Self::Kinds => "kinds",
            Self::KindsVersion => "kinds-version",
            Self::Leader => "leader",
            Self::OperatorPods => "operator-pods",
            Self::Webhook => "webhook",
            Self::Rights => "rights",
            Self::Alerts => "alerts",
            Self::Surge => "surge",
            Self::Run => "run",
            Self::Preflight => "preflight",
            Self::Signals => "signals",
            Self::Steps => "steps",
            Self::Clipped => "clipped",
            Self::Jobs => "jobs",
            Self::Degraded => "degraded",
            Self::Calendar => "calendar",
            Self::Hold => "hold",
        }
    }
}

/// Result of a rule, with the text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Section of the rule.
    pub section: Section,
    /// Rule.
    pub rule: Rule,
    /// Result of the rule.
    pub state: State,
    /// What is so, with the object and the numbers.
    pub message: String,
    /// Address of the heading that says what to do. The address is absent if the rule passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Address of the page with a heading for each rule.
const PAGE: &str = "https://primetime.dev/docs/troubleshooting";

impl Finding {
    /// Returns a finding, with the hint of the rule unless the rule passes.
    pub fn new(section: Section, rule: Rule, state: State, message: &str) -> Self {
        let hint = (state != State::Ok).then(|| format!("{PAGE}#{}", rule.as_str()));
        Self { section, rule, state, message: screen::plain(message), hint }
    }
}

/// True if nothing is wrong and nothing is unknown.
pub fn passes(findings: &[Finding]) -> bool {
    !findings.iter().any(|f| matches!(f.state, State::Wrong | State::Unknown))
}

/// Formats the findings for the terminal.
pub fn table(findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut section = None;
    for finding in findings {
        if section != Some(finding.section) {
            let title = finding.section.title();
            let gap = if section.is_some() { "\n" } else { "" };
            let _ = writeln!(out, "{gap}{title}\n{}", "-".repeat(title.len()));
            section = Some(finding.section);
        }
        let _ = writeln!(
            out,
            "{} {}: {}",
            finding.state.mark(),
            finding.rule.as_str(),
            finding.message
        );
        if let Some(hint) = finding.hint.as_ref().filter(|_| finding.state != State::NotAsked) {
            let _ = writeln!(out, "    see {hint}");
        }
    }
    let count = |state| findings.iter().filter(|f| f.state == state).count();
    let _ = writeln!(
        out,
        "\n{} ok, {} warnings, {} wrong, {} unknown, {} not asked",
        count(State::Ok),
        count(State::Warning),
        count(State::Wrong),
        count(State::Unknown),
        count(State::NotAsked)
    );
    out
}

/// Output for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    schema: &'static str,
    passes: bool,
    findings: &'a [Finding],
}

/// Formats the findings as JSON.
pub fn json(findings: &[Finding]) -> Result<String> {
    let report = Report { schema: "primetime.dev/check/v1", passes: passes(findings), findings };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(state: State) -> Finding {
        Finding::new(Section::Installation, Rule::Leader, state, "primetime-0\u{1b}[2J leads")
    }

    #[test]
    fn each_rule_has_its_heading() {
        let rules = [
            Rule::ApiServer,
            Rule::Clock,
            Rule::InstallRights,
            Rule::AdmissionPolicies,
            Rule::KindsBefore,
            Rule::Kinds,
            Rule::KindsVersion,
            Rule::Leader,
            Rule::OperatorPods,
            Rule::Webhook,
            Rule::Rights,
            Rule::Alerts,
            Rule::Surge,
            Rule::Run,
            Rule::Preflight,
            Rule::Signals,
            Rule::Steps,
            Rule::Clipped,
            Rule::Jobs,
            Rule::Degraded,
            Rule::Calendar,
            Rule::Hold,
        ];
        let page = include_str!("../../../../docs/troubleshooting.md");
        for rule in rules {
            let heading = format!("\n## {}\n", rule.as_str());
            assert_eq!(page.matches(&heading).count(), 1, "{heading}");
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
        }
        assert_eq!(page.matches("\n## ").count(), rules.len(), "a heading without a rule");
    }

    #[test]
    fn unknown_is_never_shown_as_fine() {
        assert!(passes(&[found(State::Ok), found(State::Warning), found(State::NotAsked)]));
        assert!(!passes(&[found(State::Ok), found(State::Unknown)]));
        assert!(!passes(&[found(State::Wrong)]));
        let told = table(&[found(State::Unknown)]);
        assert!(told.contains("? unknown: leader: ") && told.contains("1 unknown"), "{told}");
        assert!(
            told.contains("    see https://primetime.dev/docs/troubleshooting#leader"),
            "{told}"
        );
        assert!(!told.contains('\u{1b}'), "{told}");
        assert!(json(&[found(State::Ok)]).unwrap().contains("\"passes\": true"));
    }
}
