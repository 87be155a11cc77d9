//! How values read in sentences.

/// A load as people write it: whole where it is large, two places where it is small.
#[must_use]
pub fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// A value as people read it in a sentence.
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
