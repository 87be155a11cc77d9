//! Decimal numbers written as strings, because Kubernetes API objects avoid floating-point fields.

use std::fmt;
use std::str::FromStr;

/// A positive decimal number with at most six decimal places, below ten billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    millionths: u64,
}

const UNIT: u64 = 1_000_000;
const PLACES: usize = 6;
const MAX_WHOLE: u64 = 10_000_000_000;

/// Error of a text that is not a [`Decimal`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("\"{0}\" is not a positive decimal such as \"18\" or \"1.5\" (at most six places)")]
pub struct NotADecimal(String);

impl Decimal {
    /// Returns `self * n`, rounded up so that a target never gets too little capacity. Saturates at
    /// `u32::MAX`.
    #[must_use]
    pub fn times_rounded_up(self, n: u32) -> u32 {
        let product = u128::from(self.millionths) * u128::from(n);
        u32::try_from(product.div_ceil(u128::from(UNIT))).unwrap_or(u32::MAX)
    }

    /// Returns `percent` hundredths of `self`, rounded down to a millionth. The smallest result is
    /// one millionth.
    #[must_use]
    pub fn percent(self, percent: u32) -> Self {
        let part = u128::from(self.millionths) * u128::from(percent) / 100;
        Self { millionths: u64::try_from(part).unwrap_or(u64::MAX).max(1) }
    }

    /// Returns the nearest `f64`.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 for every accepted decimal")]
        let millionths = self.millionths as f64;
        millionths / 1e6
    }

    /// Returns the number of units of `self` that carry `load`, rounded up.
    ///
    /// Returns `None` if `load` is negative, infinite or not a number. Saturates at `u32::MAX`. A
    /// tolerance of one billionth keeps the rounding error of a sum such as 0.1 + 0.2 from costing
    /// a whole replica.
    #[must_use]
    pub fn units_for(self, load: f64) -> Option<u32> {
        if !load.is_finite() || load < 0.0 {
            return None;
        }
        let units = (load / self.as_f64() * (1.0 - 1e-9)).ceil();
        if units >= f64::from(u32::MAX) {
            return Some(u32::MAX);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be within u32 above"
        )]
        let units = units as u32;
        Some(units)
    }
}

impl From<u32> for Decimal {
    fn from(whole: u32) -> Self {
        Self { millionths: u64::from(whole) * UNIT }
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let refuse = || NotADecimal(text.chars().take(40).collect());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let has_point = text.contains('.');
        if whole.is_empty()
            || !digits(whole)
            || !digits(fraction)
            || fraction.len() > PLACES
            || (has_point && fraction.is_empty())
        {
            return Err(refuse());
        }
        let whole: u64 = whole.parse().map_err(|_| refuse())?;
        let fraction: u64 = format!("{fraction:0<PLACES$}").parse().map_err(|_| refuse())?;
        if whole >= MAX_WHOLE || (whole == 0 && fraction == 0) {
            return Err(refuse());
        }
        Ok(Self { millionths: whole * UNIT + fraction })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.millionths / UNIT, self.millionths % UNIT);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let places = format!("{fraction:06}");
        write!(f, "{whole}.{}", places.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn capacity_is_rounded_up() {
        assert_eq!(decimal("18").times_rounded_up(10), 180);
        assert_eq!(decimal("1.5").times_rounded_up(3), 5);
        assert_eq!(decimal("0.000001").times_rounded_up(1), 1);
        assert_eq!(decimal("9999999999").times_rounded_up(u32::MAX), u32::MAX);
    }

    #[test]
    fn load_is_divided_exactly_at_the_edges() {
        assert_eq!(decimal("200").units_for(36_000.0), Some(180));
        assert_eq!(decimal("200").units_for(36_001.0), Some(181));
        assert_eq!(decimal("0.1").units_for(0.1 + 0.2), Some(3));
        assert_eq!(decimal("1").units_for(0.0), Some(0));
        assert_eq!(decimal("1").units_for(f64::NAN), None);
        assert_eq!(decimal("1").units_for(f64::INFINITY), None);
        assert_eq!(decimal("1").units_for(-1.0), None);
        assert_eq!(decimal("0.000001").units_for(1e300), Some(u32::MAX));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in [
            "",
            "0",
            "0.0",
            "-1",
            "+1",
            "1e3",
            ".5",
            "5.",
            "1,5",
            "NaN",
            "1.0000001",
            "10000000000",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn written_and_read_again_is_the_same(millionths in 1..MAX_WHOLE * UNIT) {
            let decimal = Decimal { millionths };
            prop_assert_eq!(decimal.to_string().parse::<Decimal>().unwrap(), decimal);
        }
    }
}
