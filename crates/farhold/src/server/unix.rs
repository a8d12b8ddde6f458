//! The Unix socket: one server per path, stale files replaced, peers known by their credentials.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use tokio::net::{UnixListener, UnixStream};

use super::ServerError;

/// A bound socket file. A lock file beside it, held for life, tells a running server from a leftover socket.
#[derive(Debug)]
pub(super) struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Kept open for its lock; the file stays, for removing it would let two servers lock two files.
    _lock: File,
}

impl SocketFile {
    /// Binds the socket, replacing one that no server holds any more.
    pub(super) fn bind(path: PathBuf) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Socket { path: path.clone(), source };
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ServerError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path).map_err(failed)?,
            Ok(_) => {
                let source = io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket");
                return Err(failed(source));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        // The credentials check is what protects; this only keeps others from connecting at all.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path, _lock: lock })
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Still under the lock, so this can only be our own socket.
        drop(fs::remove_file(&self.path));
    }
}

/// Returns whether the peer runs as root or as this process's own user.
pub(super) fn is_trusted(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_server_holds_a_path_and_leftovers_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = SocketFile::bind(path.clone()).unwrap();
        assert!(matches!(SocketFile::bind(path.clone()), Err(ServerError::Busy { .. })));
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a leftover without a server");
        drop(SocketFile::bind(path.clone()).unwrap());
        fs::write(&path, "valuable").unwrap();
        assert!(matches!(SocketFile::bind(path.clone()), Err(ServerError::Socket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "valuable");
    }
}
