//! Verdict on a run (`Ready`, `OnTrack` or `AtRisk`), with the missing counts while people can act.

use chrono::TimeDelta;

use crate::Instant;
use crate::state::run::Verdict;

/// Target, machine group or Job that must be ready at T0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name in messages, such as `web` or `machines burst`.
    pub name: String,
    /// Unit of `there` and `wanted` in messages: `pods`, `joined` or `jobs`.
    pub unit: &'static str,
    /// Amount that is present; `None` while unknown.
    pub there: Option<u32>,
    /// Amount that is required.
    pub wanted: u32,
    /// Planned start, or the actual start if the work began later.
    pub start: Instant,
    /// Planned duration from `start` until the full amount is present.
    pub lead: TimeDelta,
    /// Obstacle in words, if any.
    pub trouble: Option<String>,
    /// What the missing units wait for, in words, if that may pass by itself.
    pub waits: Option<String>,
}

/// Share of the lead time, in percent, after which missing units are a risk.
///
/// The remaining 25 percent of the lead time are for people to act.
const RISK_SHARE_PERCENT: i32 = 75;

impl Progress {
    fn complete(&self) -> bool {
        self.there.is_some_and(|n| n >= self.wanted)
    }

    fn missing(&self) -> String {
        match self.there {
            None if self.wanted == 0 => {
                format!("{}: nothing is known of its {}", self.name, self.unit)
            }
            None => format!(
                "{}: {} {}, how many are ready is unknown",
                self.name, self.wanted, self.unit
            ),
            Some(n) => format!(
                "{} misses {} of {} {}{}",
                self.name,
                self.wanted.saturating_sub(n),
                self.wanted,
                self.unit,
                self.waits_for()
            ),
        }
    }

    fn waits_for(&self) -> String {
        self.waits.as_ref().map_or_else(String::new, |waits| format!(" ({waits})"))
    }

    /// Returns the reason why the thing endangers T0, or `None` if the thing is complete or on
    /// schedule.
    fn risk(&self, ready_by: Instant, now: Instant) -> Option<String> {
        if let Some(trouble) = &self.trouble {
            return Some(if self.complete() {
                format!("{}: {trouble}", self.name)
            } else {
                format!("{}: {trouble}", self.missing())
            });
        }
        if self.complete() {
            return None;
        }
        // An unknown amount is a risk at any time before T0.
        if now >= ready_by || self.there.is_none() {
            return Some(self.missing());
        }
        let eta = self.start + self.lead;
        if eta > ready_by {
            let has = (ready_by - self.start.max(now)).num_seconds().max(0);
            return Some(format!(
                "{}: needs {} s, has {has} s; expected at {}",
                self.missing(),
                self.lead.num_seconds(),
                eta.format("%H:%M:%SZ")
            ));
        }
        let late = now >= self.start + self.lead * RISK_SHARE_PERCENT / 100;
        late.then(|| format!("{} with {} s left", self.missing(), (ready_by - now).num_seconds()))
    }
}

/// Returns the verdict on a run, and a sentence with the counts or the risks.
#[must_use]
pub fn judge(things: &[Progress], ready_by: Instant, now: Instant) -> (Verdict, String) {
    let risks: Vec<_> = things.iter().filter_map(|p| p.risk(ready_by, now)).collect();
    if !risks.is_empty() {
        return (Verdict::AtRisk, risks.join("; "));
    }
    let counted = |p: &Progress| {
        let there = p.there.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!("{} {there}/{} {}{}", p.name, p.wanted, p.unit, p.waits_for())
    };
    let list = things.iter().map(counted).collect::<Vec<_>>().join(", ");
    if things.iter().all(Progress::complete) {
        return (Verdict::Ready, format!("ready: {list}"));
    }
    (Verdict::OnTrack, list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;
    use chrono::TimeZone;

    fn t0() -> Instant {
        chrono::Utc.with_ymd_and_hms(2014, 1, 12, 19, 50, 0).unwrap()
    }

    fn web(there: Option<u32>) -> Progress {
        Progress {
            name: "web".into(),
            unit: "pods",
            there,
            wanted: 180,
            start: t0() - seconds(400),
            lead: seconds(400),
            trouble: None,
            waits: None,
        }
    }

    fn verdict(progress: Progress, before_t0: u32) -> (Verdict, String) {
        judge(&[progress], t0(), t0() - seconds(before_t0))
    }

    #[test]
    fn ready_is_counted() {
        assert_eq!(verdict(web(Some(180)), 60), (Verdict::Ready, "ready: web 180/180 pods".into()));
        assert_eq!(verdict(web(Some(50)), 300).0, Verdict::OnTrack);
        assert_eq!(verdict(web(None), 300_000).0, Verdict::AtRisk, "days before");
        let nothing = Progress { wanted: 0, ..web(None) };
        let said = "web: nothing is known of its pods".to_owned();
        assert_eq!(verdict(nothing, 300_000), (Verdict::AtRisk, said));
    }

    #[test]
    fn a_risk_is_said_with_the_missing_number_while_there_is_time() {
        let (verdict, said) = verdict(web(Some(150)), 100);
        assert_eq!(verdict, Verdict::AtRisk);
        assert_eq!(said, "web misses 30 of 180 pods with 100 s left");
    }

    #[test]
    fn what_pods_wait_for_is_said_and_is_no_risk_while_there_is_time() {
        let waits = Some("20 pods: Unschedulable: 3 Insufficient cpu".to_owned());
        let waiting = |there| Progress { waits: waits.clone(), ..web(Some(there)) };
        let words = "(20 pods: Unschedulable: 3 Insufficient cpu)";
        let said = format!("web 160/180 pods {words}");
        assert_eq!(verdict(waiting(160), 300), (Verdict::OnTrack, said));
        let said = format!("web misses 20 of 180 pods {words} with 100 s left");
        assert_eq!(verdict(waiting(160), 100), (Verdict::AtRisk, said));
    }

    #[test]
    fn a_late_start_says_what_it_needs_and_has() {
        let late = Progress { start: t0() - seconds(120), ..web(Some(10)) };
        let (verdict, said) = verdict(late, 120);
        assert_eq!(verdict, Verdict::AtRisk);
        assert!(said.contains("needs 400 s, has 120 s"), "{said}");
    }

    #[test]
    fn after_t0_whatever_is_missing_is_a_risk() {
        assert_eq!(judge(&[web(Some(179))], t0(), t0()).0, Verdict::AtRisk);
    }

    #[test]
    fn trouble_is_a_risk_days_before() {
        let trouble =
            Progress { trouble: Some("Deployment web does not exist".into()), ..web(None) };
        assert_eq!(verdict(trouble, 86_400).0, Verdict::AtRisk);
    }

    #[test]
    fn the_eta_counts_from_the_start_of_the_step() {
        let mut late = web(Some(20));
        // The raise begins 160 s late, so the pods are expected 160 s after T0.
        late.start = t0() - seconds(240);
        let why = late.risk(t0(), t0() - seconds(200)).unwrap();
        assert!(why.contains("expected at"), "{why}");
        // The raise began on time. The message names the missing pods and no expected time, because
        // the expected time has passed.
        late.start = t0() - seconds(400);
        let why = late.risk(t0(), t0() - seconds(10)).unwrap();
        assert!(why.ends_with("with 10 s left"), "{why}");
    }
}
