//! The door to storage: one trait with its guarantees written down, and the backends behind it.
//!
//! [`Storage`] works on [`StorePath`]s relative to the root of one store and knows nothing of snapshots or chunks.
//! [`LocalStorage`] is the local file system. With the feature `testing` there are [`MemoryStorage`], the in-memory
//! twin, [`FaultyStorage`], which fails where a test plans it, and [`suite`], which every backend must pass.
//!
//! [`BackingDevices`] mounts the file systems of removable stores.
//!
//! All calls block; asynchronous code calls them from blocking threads.

mod backend;
mod devices;
mod error;
mod local;
mod local_folders;
mod path;
mod record_lock;
mod space;
mod temporary;
mod working_file;

#[cfg(any(test, feature = "testing"))]
mod faulty;
#[cfg(any(test, feature = "testing"))]
mod memory;
#[cfg(any(test, feature = "testing"))]
pub mod suite;

pub use backend::{
    DIRECTORY_MODE, Durability, Entry, EntryKind, FILE_MODE, FileHold, FileReader, FileTime, Folders, Listing,
    RecordLock, Staging, Stat, Storage,
};
pub use devices::{BackingDevices, BlockDevice, DeviceError, FileSystemUuid, FileSystemUuidError, LinuxDevices};
pub use error::{Operation, StorageError};
pub use local::LocalStorage;
pub use path::{PathError, StorePath};
pub use space::{FileSystemSpace, file_system_space};
pub use temporary::{is_random_temporary, stem};
pub use working_file::WorkingFile;

#[cfg(any(test, feature = "testing"))]
pub use devices::FakeDevices;
#[cfg(any(test, feature = "testing"))]
pub use faulty::{Fault, FaultKind, FaultyStorage};
#[cfg(any(test, feature = "testing"))]
pub use memory::{MemoryStorage, NoOtherProcess};
