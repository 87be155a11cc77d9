//! Writes the custom resource definitions into a folder, one file each: `crds [FOLDER]`, by default `crds`.

use std::path::PathBuf;

use kube::ResourceExt;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "crds".to_owned()));
    for crd in primetime_api::crds() {
        let file = folder.join(format!("{}.yaml", crd.name_any()));
        std::fs::write(&file, primetime_api::crd_yaml(&crd)?)?;
    }
    Ok(())
}
