//! Helpers for the decoders of kinds of other projects.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

/// Implements `kube::Resource` for a kind whose `ApiResource` is known only at run time.
macro_rules! dynamic_resource {
    ($kind:ident) => {
        impl kube::Resource for $kind {
            type DynamicType = kube::core::ApiResource;
            type Scope = kube::core::DynamicResourceScope;

            fn kind(dt: &kube::core::ApiResource) -> std::borrow::Cow<'_, str> {
                dt.kind.as_str().into()
            }
            fn group(dt: &kube::core::ApiResource) -> std::borrow::Cow<'_, str> {
                dt.group.as_str().into()
            }
            fn version(dt: &kube::core::ApiResource) -> std::borrow::Cow<'_, str> {
                dt.version.as_str().into()
            }
            fn plural(dt: &kube::core::ApiResource) -> std::borrow::Cow<'_, str> {
                dt.plural.as_str().into()
            }
            fn meta(&self) -> &kube::core::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use dynamic_resource;

/// Largest number of characters of a message of another component that a status repeats. A scheduler
/// of a large cluster lists many reasons.
const MESSAGE: usize = 240;

/// Returns a message of another component as one line of at most 240 characters. The text of another
/// component must not forge a line, a colour or an order of characters on a terminal.
pub(crate) fn one_line(message: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let shown = message.chars().filter(|c| !hidden(*c));
    let line: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= MESSAGE {
        return line;
    }
    format!("{}...", line.chars().take(MESSAGE).collect::<String>())
}

/// Converts a signed count of the API. An absent or negative count becomes 0.
pub(crate) fn count(n: Option<i32>) -> u32 {
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// The latest field manager that owns a field of `spec`, such as `f:replicas`.
pub(crate) fn writer_of(metadata: &ObjectMeta, field: &str) -> Option<String> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
        fields.is_some_and(|spec| spec.get(field).is_some())
    };
    let entries = metadata.managed_fields.as_ref()?.iter().filter(owns);
    let latest = entries.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    latest.manager.clone()
}

/// A quantity in thousandths of its unit: `500m` is 500, `1Gi` is 1,073,741,824,000. `None` for a
/// text that is no quantity
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>). Saturates.
pub(crate) fn thousandths(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More digits than these are below a billionth of a thousandth.
    let fraction = fraction.get(..fraction.len().min(18))?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let binary = |power: u32| Some((1024_u128.pow(power), 0));
    let (factor, exponent) = match suffix {
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "" => (1, 0),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => binary(1)?,
        "Mi" => binary(2)?,
        "Gi" => binary(3)?,
        "Ti" => binary(4)?,
        "Pi" => binary(5)?,
        "Ei" => binary(6)?,
        power => {
            let power = power.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            (1, Some(power).filter(|power| power.abs() <= 18)?)
        }
    };
    let power = exponent + 3 - places;
    let ten = 10_u128.checked_pow(power.unsigned_abs())?;
    let scaled = digits.saturating_mul(factor);
    let value = if power < 0 { scaled.div_ceil(ten) } else { scaled.saturating_mul(ten) };
    Some(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let long = format!("a\nb\u{1b}\u{202e}[2J{}", "x".repeat(1_000));
        let said = one_line(&long);
        assert!(said.starts_with("a b [2J") && said.chars().count() == MESSAGE + 3, "{said}");
    }

    #[test]
    fn quantities_are_read_as_the_api_server_reads_them() {
        let read = |text: &str| thousandths(&Quantity(text.to_owned()));
        for (text, value) in [
            ("6", 6_000),
            ("500m", 500),
            ("1.5", 1_500),
            ("1Gi", 1_073_741_824_000),
            ("128Mi", 134_217_728_000),
            ("2k", 2_000_000),
            ("1e3", 1_000_000),
            ("1E", u64::MAX),
            ("9m", 9),
            ("36m", 36),
            ("0.036", 36),
            ("+2", 2_000),
            (".5", 500),
            ("1.000000000000000000000001", 1_000),
            ("0", 0),
            ("100u", 1),
        ] {
            assert_eq!(read(text), Some(value), "{text}");
        }
        for wrong in ["", "x", "1Q", "-1", "1e", "1.2.3", "e3"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
