//! Ceilings of the platform team for the namespaces that a `SurgeBudget` names.

/// A `SurgeBudget` that applies to the namespace of the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Name of the object.
    pub name: String,
    /// Ceilings of each namespace. An absent ceiling limits nothing.
    pub limits: Ceilings,
}

/// Ceilings of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Most surges.
    pub surges: Option<u32>,
    /// Most runs that are not completed.
    pub runs: Option<u32>,
    /// Most planned replicas of runs at the same time.
    pub replicas: Option<u32>,
    /// Most machines at the same time, of all classes.
    pub machines: Option<u32>,
    /// Most machine hours of a run, as planned.
    pub machine_hours: Option<u32>,
}

impl Budget {
    /// Returns a sentence if `wanted` and what others have reserved exceed a ceiling.
    #[must_use]
    pub fn exceeded(
        &self,
        what: &str,
        ceiling: Option<u32>,
        wanted: u32,
        reserved: u32,
    ) -> Option<String> {
        let most = ceiling?;
        (wanted > most.saturating_sub(reserved)).then(|| {
            let name = &self.name;
            format!(
                "exceeds SurgeBudget \"{name}\": {what} {wanted} > {most} (reserved {reserved})"
            )
        })
    }
}
