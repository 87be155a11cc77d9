//! Validation of references to other objects.

use primetime_core::reference;

/// Returns the name of another object. Refuses an invalid name with the path of its field.
pub(crate) fn name(field: &str, name: &str) -> Result<String, String> {
    reference::name(name).map_err(|why| format!("{field}.name: {why}"))?;
    Ok(name.to_owned())
}
