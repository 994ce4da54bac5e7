//! A terminal: what is typed goes in, what is shown comes out.

use rustix::pty::{self, OpenptFlags};
use rustix::{fs, io as system};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A new terminal: our end, and the one that a program has.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    system::fcntl_setfd(&ours, system::FdFlags::CLOEXEC)?;
    pty::grantpt(&ours)?;
    pty::unlockpt(&ours)?;
    let name = pty::ptsname(&ours, Vec::new())?;
    let flags = fs::OFlags::RDWR | fs::OFlags::NOCTTY | fs::OFlags::CLOEXEC;
    let theirs = fs::open(name, flags, fs::Mode::empty())?;
    Ok((ours, theirs))
}

/// Our end of a terminal.
pub(super) struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        let flags = fs::fcntl_getfl(&end)?;
        fs::fcntl_setfl(&end, flags | fs::OFlags::NONBLOCK)?;
        Ok(Self(AsyncFd::new(end)?))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let read = ready.try_io(|end| Ok(system::read(end, into.initialize_unfilled())?));
            match read {
                Ok(Ok(count)) => {
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Linux says so once nobody has the other end.
                Ok(Err(error)) if error.raw_os_error() == Some(system::Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            match ready.try_io(|end| Ok(system::write(end, bytes)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return Poll::Ready(written),
                Err(_) => {}
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
        self.poll_write(cx, first)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
