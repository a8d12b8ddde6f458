//! The mount table of this process, as the kernel prints it in `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Returns where from the topmost mount at `mount_point` comes, if something is mounted exactly there.
///
/// `table`: the file's content. Of several mounts at one place the last one is visible. A line reads
/// `id parent major:minor root mount-point options [tags...] - type source options`; blanks, tabs, line breaks and
/// backslashes of names are octal escapes.
pub fn source_of(table: &[u8], mount_point: &Path) -> Option<PathBuf> {
    table.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        if unescaped(fields.get(4)?) != mount_point {
            return None;
        }
        let separator = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
        fields.get(separator + 2).map(|source| unescaped(source))
    })
}

fn unescaped(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'\\').then(|| after.get(..3)).flatten();
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 22 8:17 /pbs /mnt/datastore/usb rw,nosuid - ext4 /dev/sdb1 rw
36 22 0:31 / /mnt/my\\040disk rw,relatime master:2 shared:3 - tmpfs tm\\134pfs rw
37 22 8:33 / /mnt/datastore/two rw - ext4 /dev/sdc1 rw
38 37 8:49 / /mnt/datastore/two rw - xfs /dev/sdd1 rw
39 22 8:49 / /mnt/cut rw
";

    #[test]
    fn mounts_are_found_by_their_exact_place() {
        for (place, source) in [
            ("/", Some("/dev/sda1")),
            ("/mnt/datastore/usb", Some("/dev/sdb1")),
            ("/mnt/my disk", Some("tm\\pfs")),
            ("/mnt/datastore/two", Some("/dev/sdd1")),
            ("/mnt/datastore", None),
            ("/mnt/datastore/usb/sub", None),
            ("/mnt/cut", None),
        ] {
            assert_eq!(source_of(TABLE, Path::new(place)), source.map(PathBuf::from), "{place}");
        }
    }

    #[test]
    fn odd_tables_are_no_fault() {
        for table in [&b""[..], b"\n\n", b"1 2 3", b"1 2 3 4 / 6 - x", b"1 2 3 4 /\\ 6 - x y", b"1 2 3 4 /\\99 6 - x y"]
        {
            assert_eq!(source_of(table, Path::new("/")), None, "{table:?}");
        }
    }
}
