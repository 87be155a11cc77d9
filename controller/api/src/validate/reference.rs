//! References to other objects.

use primetime_core::reference;

/// The name of another object, with its field where it is not one.
pub(crate) fn name(field: &str, name: &str) -> Result<String, String> {
    reference::name(name).map_err(|why| format!("{field}.name: {why}"))?;
    Ok(name.to_owned())
}
