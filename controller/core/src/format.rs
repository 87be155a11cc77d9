//! Formatting of values for status messages, conditions and Events.

/// Formats a load without decimal places if the load is a whole number or at least 100, else with
/// two places.
#[must_use]
pub fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Formats a value in quotation marks and cuts the value to 60 characters. Returns `nothing` for
/// `None`.
#[must_use]
pub fn told(value: Option<&str>) -> String {
    const SHOWN: usize = 60;
    match value {
        None => "nothing".to_owned(),
        Some(text) if text.chars().count() > SHOWN => {
            format!("\"{}...\"", text.chars().take(SHOWN).collect::<String>())
        }
        Some(text) => format!("\"{text}\""),
    }
}
