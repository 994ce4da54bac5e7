//! Unix sockets within one computer, in memory: for hosts that are many in one process, simulated or not.

use crate::{Connection, Endpoint, Listener};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// What a Unix socket buffers, each way, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// The most connections that wait to be accepted (`net.core.somaxconn`).
const MAX_WAITING: usize = 4096;

type Paths = Arc<Mutex<BTreeMap<String, mpsc::Sender<DuplexStream>>>>;

/// The Unix sockets of one computer, by path.
#[derive(Clone, Debug, Default)]
pub struct UnixSockets(Paths);

impl UnixSockets {
    /// Connects to the listener at a path.
    ///
    /// # Errors
    /// `NotFound` where nobody listens, `ConnectionRefused` where too many wait already.
    pub fn connect(&self, path: &str) -> io::Result<Connection> {
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = paths.get(path).ok_or(io::ErrorKind::NotFound)?;
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        listener.try_send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        let end = Endpoint::Unix(path.to_owned());
        Ok(Connection { stream: Box::new(ours), local: end.clone(), peer: end })
    }

    /// Listens at a path, until the listener is dropped.
    ///
    /// # Errors
    /// `AddrInUse` where somebody does already.
    pub fn listen(&self, path: &str) -> io::Result<UnixListener> {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.contains_key(path) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        paths.insert(path.to_owned(), sender);
        Ok(UnixListener {
            paths: Arc::clone(&self.0),
            path: path.to_owned(),
            incoming: tokio::sync::Mutex::new(receiver),
        })
    }
}

/// A listening Unix socket.
#[derive(Debug)]
pub struct UnixListener {
    paths: Paths,
    path: String,
    incoming: tokio::sync::Mutex<mpsc::Receiver<DuplexStream>>,
}

#[async_trait]
impl Listener for UnixListener {
    async fn accept(&self) -> io::Result<Connection> {
        let stream = self.incoming.lock().await.recv().await;
        let stream = stream.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Connection { stream: Box::new(stream), local: self.local(), peer: self.local() })
    }

    fn local(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone())
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}
