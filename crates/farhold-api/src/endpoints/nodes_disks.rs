//! Disks of the host: shown, but never changed. Source: `docs/spec/rest-api.md` 15.4.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::host::disks::{Disk, Partition, disks};
use farhold_jobs::host::mounts;
use farhold_types::Privileges;
use serde_json::{Map, Value, json};

use super::blocking;
use crate::declare::{Access, Answer, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::{ANY_TEXT, NODE, STORE, flag};
use crate::schema::{Field, Param, ParamKind, Shape, shapes};

const ON_DISKS_AUDIT: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/disks"));
const ON_DISKS_MODIFY: Access = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/disks"));

/// Where file systems made for datastores are mounted.
const MOUNTS_OF_STORES: &str = "/mnt/datastore/";

const USAGES: &[&str] = &["unused", "mounted", "lvm", "zfs", "devicemapper", "partitions", "filesystem"];

const DISK_PARAM: Param = Param::required(
    "disk",
    ParamKind::Text { min_length: 1, max_length: Some(64), check: Some(disk_name), hint: "<string>" },
    "Name of the disk below /dev",
);

/// Names such as `sda`, `vdb`, `xvda` and `nvme0n1`.
fn disk_name(text: &str) -> Result<(), String> {
    let letters = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase());
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = ["sd", "hd", "vd", "xvd"].iter().any(|kind| text.strip_prefix(kind).is_some_and(letters));
    let is_nvme = text
        .strip_prefix("nvme")
        .and_then(|rest| rest.split_once('n'))
        .is_some_and(|(controller, number)| digits(controller) && digits(number));
    if is_plain || is_nvme { Ok(()) } else { Err("value is no name of a disk, such as sda or nvme0n1".to_owned()) }
}

const PARTITIONS: Shape = Shape::List(&Shape::Object(&[
    Field::required("name", shapes::TEXT, "Name below /dev"),
    Field::required("devpath", shapes::TEXT, "Path of its device"),
    Field::required("used", Shape::Word(USAGES), "What it is used for"),
    Field::required("mounted", Shape::Boolean, "Whether it is mounted"),
    Field::required("size", Shape::Integer, "Bytes"),
    Field::required("gpt", Shape::Boolean, "Whether the table it stands in is a GUID partition table"),
    Field::optional("filesystem", shapes::TEXT, "Kind of file system on it"),
]));
const DISKS: Shape = Shape::List(&Shape::Object(&[
    Field::required("name", shapes::TEXT, "Name below /dev"),
    Field::required("devpath", shapes::TEXT, "Path of its device"),
    Field::required("used", Shape::Word(USAGES), "What it is used for, as far as the device manager knows"),
    Field::required("disk-type", Shape::Word(&["unknown", "hdd", "ssd", "usb"]), "Kind of disk"),
    Field::required("status", Shape::Word(&["passed", "failed", "unknown"]), "Health; this server does not ask for it"),
    Field::required("size", Shape::Integer, "Bytes"),
    Field::required("gpt", Shape::Boolean, "Whether it has a GUID partition table"),
    Field::optional("wearout", Shape::Number, "Part of its life that is left; this server does not ask for it"),
    Field::optional("vendor", shapes::TEXT, "Vendor"),
    Field::optional("model", shapes::TEXT, "Model"),
    Field::optional("wwn", shapes::TEXT, "World wide name"),
    Field::optional("serial", shapes::TEXT, "Serial number"),
    Field::optional("rpm", Shape::Integer, "Turns per minute"),
    Field::required("partitions", Shape::Nullable(&PARTITIONS), "Its partitions, if they are asked for"),
]));
const DIRECTORIES: Shape = Shape::List(&Shape::Object(&[
    Field::required("name", shapes::TEXT, "Name of the mount"),
    Field::required("path", shapes::TEXT, "Where it is mounted"),
    Field::required("device", shapes::TEXT, "What is mounted"),
    Field::required("filesystem", shapes::TEXT, "Kind of file system"),
    Field::required("options", shapes::TEXT, "Options of the mount"),
    Field::required("removable", Shape::Boolean, "Whether a removable datastore lies there"),
]));
const SMART: Shape = Shape::Object(&[
    Field::required("status", Shape::Word(&["passed", "failed", "unknown"]), "Health"),
    Field::required("attributes", Shape::List(&Shape::Free), "What the disk tells"),
    Field::optional("wearout", Shape::Number, "Part of its life that is left"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/nodes/{node}/disks/list", "List the disks of the host", list)
            .params(&[
                NODE,
                flag("skipsmart", "Accepted for compatibility; the health of disks is never asked for"),
                flag("include-partitions", "List partitions as well"),
                Param::optional(
                    "usage-type",
                    ParamKind::Enumeration { values: USAGES, strict: true },
                    "Only disks that are used for this",
                ),
            ])
            .access(ON_DISKS_AUDIT)
            .returns(DISKS),
        Endpoint::get(
            "/nodes/{node}/disks/smart",
            "Show the health of a disk, which this server does not ask for",
            smart,
        )
        .params(&[NODE, DISK_PARAM, flag("healthonly", "Leave out what the disk tells in detail")])
        .access(ON_DISKS_AUDIT)
        .returns(SMART),
        Endpoint::get("/nodes/{node}/disks/directory", "List the file systems mounted for datastores", directories)
            .params(&[NODE])
            .access(ON_DISKS_AUDIT)
            .returns(DIRECTORIES),
        Endpoint::post(
            "/nodes/{node}/disks/directory",
            "Format a disk for a datastore, which this server refuses",
            refuse,
        )
        .params(&[
            NODE,
            STORE.named("name"),
            DISK_PARAM,
            Param::optional(
                "filesystem",
                ParamKind::Enumeration { values: &["ext4", "xfs"], strict: true },
                "Kind of file system, ext4 if absent",
            ),
            flag("add-datastore", "Make a datastore on it"),
            flag("removable-datastore", "Make a removable datastore on it"),
        ])
        .access(ON_DISKS_MODIFY)
        .answer(Answer::Task),
        Endpoint::post("/nodes/{node}/disks/initgpt", "Write a new partition table, which this server refuses", refuse)
            .params(&[NODE, DISK_PARAM, Param::optional("uuid", ANY_TEXT, "UUID of the table")])
            .access(ON_DISKS_MODIFY)
            .answer(Answer::Task),
        Endpoint::put("/nodes/{node}/disks/wipedisk", "Wipe a disk, which this server refuses", refuse)
            .params(&[NODE, DISK_PARAM])
            .access(ON_DISKS_MODIFY)
            .answer(Answer::Task),
    ]
}

/// A server that runs with few rights next to other services cannot know what else lies on a disk.
async fn refuse(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Err(ApiError::bad_request(
        "this server changes no disks; prepare the disk on the host, then create a datastore on its file system",
    ))
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let with_partitions = request.params.boolean_or_default("include-partitions");
    let usage: Option<String> = request.params.parse("usage-type")?;
    blocking(move || {
        let found = disks(&*app.host);
        let wanted = found.iter().filter(|disk| usage.as_ref().is_none_or(|usage| disk.usage.as_str() == usage));
        let items: Vec<Value> = wanted.map(|disk| disk_item(disk, with_partitions)).collect();
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

fn disk_item(disk: &Disk, with_partitions: bool) -> Value {
    let partitions = || disk.partitions.iter().map(|partition| partition_item(disk, partition)).collect::<Value>();
    let mut item = Map::new();
    let mut add = |name: &str, value: Value| item.insert(name.to_owned(), value);
    add("name", json!(disk.name));
    add("devpath", json!(format!("/dev/{}", disk.name)));
    add("used", json!(disk.usage.as_str()));
    add("disk-type", json!(disk.kind));
    add("status", json!("unknown"));
    add("size", json!(disk.size_bytes));
    add("gpt", json!(disk.is_gpt));
    add("partitions", if with_partitions { partitions() } else { Value::Null });
    for (name, text) in [("vendor", &disk.vendor), ("model", &disk.model), ("wwn", &disk.wwn), ("serial", &disk.serial)]
    {
        if let Some(text) = text {
            add(name, json!(text));
        }
    }
    item.into()
}

fn partition_item(disk: &Disk, partition: &Partition) -> Value {
    let mut item = json!({
        "name": partition.name,
        "devpath": format!("/dev/{}", partition.name),
        "used": partition.usage.as_str(),
        "mounted": partition.usage == farhold_jobs::host::disks::Usage::Mounted,
        "size": partition.size_bytes,
        "gpt": disk.is_gpt,
    });
    if let Some(file_system) = &partition.file_system {
        item["filesystem"] = json!(file_system);
    }
    item
}

async fn smart(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: String = request.params.require("disk")?;
    blocking(move || {
        if !disks(&*app.host).iter().any(|disk| disk.name == name) {
            return Err(ApiError::bad_request(format!("no such disk '{name}'")));
        }
        let text = format!("this server does not ask disks for their health; ask on the host: smartctl -a /dev/{name}");
        Err::<Reply, _>(ApiError::bad_request(text))
    })
    .await
}

async fn directories(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let stores = app.settings.datastores().load()?.entries;
        let is_removable = |path: &str| {
            stores
                .usable()
                .any(|store| store.backing_device.is_some() && app.stores.content_path(store).starts_with(path))
        };
        let mut items = Vec::new();
        for mount in mounts(&*app.host) {
            if let Some(name) = mount.place.strip_prefix(MOUNTS_OF_STORES).filter(|name| !name.contains('/')) {
                items.push(json!({
                    "name": name,
                    "path": mount.place,
                    "device": mount.source,
                    "filesystem": mount.file_system,
                    "options": mount.options,
                    "removable": is_removable(&mount.place),
                }));
            }
        }
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_from_other_names() {
        for good in ["sda", "sdz", "vdb", "xvdaa", "hda", "nvme0n1", "nvme12n3"] {
            assert!(disk_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "sd", "sda1", "../sda", "nosuchdisk", "no such disk", "nvme0", "nvmen1", "nvme0n1p1", "/dev/sda"]
        {
            assert!(disk_name(bad).is_err(), "{bad}");
        }
    }
}
