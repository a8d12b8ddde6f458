//! The real devices of this host, tried with an ext4 image on a loop device. Needs root, loop devices and `mkfs.ext4`;
//! says "not run" otherwise.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot continue should stop")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use farhold_storage::{BackingDevices, BlockDevice, DeviceError, FileSystemUuid, LinuxDevices};

const UUID: &str = "5e1f0000-feed-4000-8000-0000000f00d1";

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A loop device with a file system; let go when dropped.
struct LoopDevice(String);

impl LoopDevice {
    fn new(image: &Path, uuid: &str) -> Option<Self> {
        let path = image.to_str().unwrap();
        File::create(image).unwrap().set_len(16 << 20).unwrap();
        output_of("mkfs.ext4", &["-q", "-F", "-U", uuid, path])?;
        output_of("losetup", &["--find", "--show", path]).map(Self)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        output_of("losetup", &["--detach", &self.0]);
    }
}

/// A mount that is undone at the end, also if the test fails.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = LinuxDevices.unmount(self.0);
    }
}

/// Returns the devices that hold the file system, as somebody finds who looks for what was plugged in.
fn found(uuid: &FileSystemUuid) -> Vec<BlockDevice> {
    // Other tests attach and detach loop devices at the same time: one that is gone when it is read holds nothing.
    let holds = |device: &BlockDevice| LinuxDevices.read_uuid(device).is_ok_and(|held| held.as_ref() == Some(uuid));
    LinuxDevices.present().unwrap().into_iter().filter(holds).collect()
}

/// Returns whether something comes true. The kernel lets go of a device when nobody has it open any more, and others look at
/// all devices too.
fn in_the_end(mut is_so: impl FnMut() -> bool) -> bool {
    (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        is_so()
    })
}

#[test]
fn a_device_that_is_plugged_in_anew_is_told_from_what_it_was_before() {
    const UUID: &str = "5e1f0000-feed-4000-8000-0000000f00d2";
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let uuid: FileSystemUuid = UUID.parse().unwrap();
    let Some(device) = LoopDevice::new(&image, UUID) else {
        eprintln!("not run: no loop device can be made here");
        return;
    };
    let first = found(&uuid);
    assert_eq!(first.iter().map(|found| found.path.to_str().unwrap()).collect::<Vec<_>>(), [device.0.as_str()]);
    assert_eq!(found(&uuid), first);
    drop(device);
    assert!(in_the_end(|| found(&uuid).is_empty()), "{:?}", found(&uuid));
    let _again = LoopDevice::new(&image, UUID).unwrap();
    let second = found(&uuid);
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
}

#[test]
fn a_file_system_is_found_by_its_uuid_and_shown_in_another_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(device) = LoopDevice::new(&at("image"), UUID) else {
        eprintln!("not run: no loop device can be made here");
        return;
    };
    let uuid: FileSystemUuid = UUID.parse().unwrap();
    let (temporary, place) = (at("temporary"), at("a place"));
    fs::create_dir(&temporary).unwrap();
    fs::create_dir(&place).unwrap();
    match LinuxDevices.mount(&uuid, &temporary) {
        Err(DeviceError::Mount { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("not run: nothing may be mounted here");
            return;
        }
        result => result.unwrap(),
    }
    let mounted_temporarily = Mounted(&temporary);
    assert!(LinuxDevices.is_mounted(&uuid, &temporary));
    fs::create_dir(temporary.join("pbs")).unwrap();
    fs::write(temporary.join("pbs/file"), "content").unwrap();

    LinuxDevices.bind(&temporary.join("pbs"), &place).unwrap();
    let mounted = Mounted(&place);
    drop(mounted_temporarily);
    assert!(!LinuxDevices.is_mounted(&uuid, &temporary));
    assert!(LinuxDevices.is_mounted(&uuid, &place), "the bind mount stays");
    assert!(!LinuxDevices.is_mounted(&"00000000-feed-4000-8000-0000000f00d1".parse().unwrap(), &place));
    assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "content");

    let open = File::open(place.join("file")).unwrap();
    assert!(matches!(LinuxDevices.unmount(&place), Err(DeviceError::Unmount { .. })), "somebody uses it");
    assert!(LinuxDevices.is_mounted(&uuid, &place));
    drop(open);
    LinuxDevices.unmount(&place).unwrap();
    assert!(!LinuxDevices.is_mounted(&uuid, &place));
    assert!(!place.join("file").exists());
    drop(mounted);
    drop(device);
    let is_gone = in_the_end(|| match LinuxDevices.mount(&uuid, &temporary) {
        Err(DeviceError::NotFound { .. }) => true,
        // Still there, so it must go again before the next look.
        outcome => {
            drop(outcome.is_ok().then(|| Mounted(&temporary)));
            false
        }
    });
    assert!(is_gone);
}
