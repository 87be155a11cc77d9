//! Client of the cloud that launches machines. The operator opens a cloud client in this module
//! alone.
//!
//! A new cloud needs a crate that implements [`primetime_core::port::Cloud`], a block in
//! `InstanceClass` (`api/src/class/`), and a line in this file.

use std::sync::Arc;

use primetime_api::tags;
use primetime_core::port::Cloud;
use primetime_ec2::{Ec2, Settings, TagNames};

use crate::args::Args;

/// Opens the client of the cloud with the settings from the command line.
pub async fn open(args: &Args) -> Arc<dyn Cloud> {
    let settings = Settings {
        region: args.aws_region.clone(),
        endpoint: args.aws_endpoint_url.clone(),
        cluster: args.cluster_name.clone(),
    };
    let names = TagNames {
        cluster: tags::CLUSTER,
        run: tags::RUN,
        batch: tags::BATCH,
        expires: tags::EXPIRES,
    };
    Arc::new(Ec2::new(settings, names).await)
}
