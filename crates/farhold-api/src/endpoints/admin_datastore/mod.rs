//! `/admin/datastore`: what is in the datastores. Source: `docs/spec/rest-api.md` 12.

mod browse;
mod download;
mod groups;
mod list;
mod mounting;
mod moves;
mod namespaces;
mod notes;
mod place;
mod protection;
mod prune;
mod rrd;
mod snapshots;
mod status;
mod upload_log;
mod verify;

use farhold_jobs::App;

use crate::declare::{Access, Endpoint};

/// Access of the calls that look at a namespace and the owners of groups.
const BY_NAMESPACE: Access =
    Access::InHandler("privileges on /datastore/{store}/{namespace}; with the smaller ones only on own groups");

pub fn endpoints() -> Vec<Endpoint<App>> {
    let areas = [
        list::endpoints(),
        status::endpoints(),
        moves::endpoints(),
        rrd::endpoints(),
        namespaces::endpoints(),
        groups::endpoints(),
        snapshots::endpoints(),
        notes::endpoints(),
        protection::endpoints(),
        prune::endpoints(),
        download::endpoints(),
        browse::endpoints(),
        upload_log::endpoints(),
        verify::endpoints(),
        mounting::endpoints(),
    ];
    areas.into_iter().flatten().collect()
}
