//! A terminal: what is typed goes in, what is shown comes out.

use rustix::pty::{self, OpenptFlags};
use rustix::{fs, io as system};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;

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

/// What is typed at our end of a terminal. It is no pipe, but is written to like one.
pub(super) fn keyboard(end: OwnedFd) -> io::Result<pipe::Sender> {
    pipe::Sender::from_owned_fd_unchecked(unblocked(end)?)
}

/// What our end of a terminal shows.
pub(super) struct Screen(pipe::Receiver);

impl Screen {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self(pipe::Receiver::from_owned_fd_unchecked(unblocked(end)?)?))
    }
}

fn unblocked(end: OwnedFd) -> io::Result<OwnedFd> {
    let flags = fs::fcntl_getfl(&end)?;
    fs::fcntl_setfl(&end, flags | fs::OFlags::NONBLOCK)?;
    Ok(end)
}

impl AsyncRead for Screen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, into) {
            // Linux says so once nobody has the other end.
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(system::Errno::IO.raw_os_error()) => {
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}
