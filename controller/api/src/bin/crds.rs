//! Generator of the CRD files. `crds [FOLDER]` writes a YAML file for each custom resource
//! definition into the folder, `crds` by default.

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
