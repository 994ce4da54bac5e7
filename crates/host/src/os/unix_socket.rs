//! Unix sockets of this computer, for its other programs: an apiserver that dials through a tunnel.

use crate::{Connection, Endpoint, Listener};
use async_trait::async_trait;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

#[allow(clippy::disallowed_types, reason = "this is what is beneath Host::listen and Host::connect")]
type RealListener = tokio::net::UnixListener;
#[allow(clippy::disallowed_types, reason = "this is what is beneath Host::listen and Host::connect")]
type RealStream = tokio::net::UnixStream;

/// Who may connect: the owner and the group, as Konnectivity's server has it (`getUDSListener`).
const MODE: u32 = 0o770;

/// Connects to the socket at a path.
pub(super) async fn connect(path: &str) -> io::Result<Connection> {
    let stream = RealStream::connect(path).await?;
    let end = Endpoint::Unix(path.to_owned());
    Ok(Connection { stream: Box::new(stream), local: end.clone(), peer: end })
}

/// Listens at a path. A socket that is left there from before gives way, another file does not.
pub(super) fn listen(path: &str) -> io::Result<UnixDoor> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = RealListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    Ok(UnixDoor { listener, path: path.to_owned() })
}

/// A listener at a path.
pub(super) struct UnixDoor {
    listener: RealListener,
    path: String,
}

#[async_trait]
impl Listener for UnixDoor {
    async fn accept(&self) -> io::Result<Connection> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Connection { stream: Box::new(stream), local: self.local(), peer: self.local() })
    }

    fn local(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone())
    }
}
