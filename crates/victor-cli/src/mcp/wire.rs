//! The pipes that an MCP client has opened, taken out of everybody else's reach: whatever writes to standard output by
//! mistake, in this process or in a program that it starts, lands on standard error and cannot break the protocol.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream as Socket;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// Where private descriptors begin: above the three that every program has.
const FIRST: i32 = 3;

/// The client's two pipes.
pub(crate) struct Wire {
    /// What the client writes.
    pub(crate) read: File,
    /// What the client reads.
    pub(crate) write: File,
}

impl Wire {
    /// Moves standard input and output aside, to descriptors that no program inherits. In their place are nothing to
    /// read, and standard error.
    ///
    /// # Errors
    /// The process may have no more open files.
    pub(crate) fn take() -> io::Result<Self> {
        let read = fcntl_dupfd_cloexec(stdin(), FIRST)?.into();
        let write = fcntl_dupfd_cloexec(stdout(), FIRST)?.into();
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(stderr())?;
        Ok(Self { read, write })
    }
}

/// What the client writes. A pipe or a socket is waited for with all else; of anything else a thread of its own reads.
pub(crate) fn reader(file: File) -> Box<dyn AsyncRead + Unpin + Send> {
    match kind(&file) {
        Kind::Pipe => {
            if let Ok(pipe) = pipe::OpenOptions::new().open_receiver(anew(&file)) {
                return Box::new(pipe);
            }
        }
        Kind::Socket => {
            if let Ok(socket) = socket(&file) {
                return Box::new(socket);
            }
        }
        Kind::Other => {}
    }
    Box::new(tokio::fs::File::from_std(file))
}

/// What the client reads.
pub(crate) fn writer(file: File) -> Box<dyn AsyncWrite + Unpin + Send> {
    match kind(&file) {
        Kind::Pipe => {
            if let Ok(pipe) = pipe::OpenOptions::new().open_sender(anew(&file)) {
                return Box::new(pipe);
            }
        }
        Kind::Socket => {
            if let Ok(socket) = socket(&file) {
                return Box::new(socket);
            }
        }
        Kind::Other => {}
    }
    Box::new(tokio::fs::File::from_std(file))
}

#[derive(Clone, Copy)]
enum Kind {
    Pipe,
    Socket,
    Other,
}

fn kind(file: &File) -> Kind {
    match file.metadata().map(|m| m.file_type()) {
        Ok(kind) if kind.is_fifo() && is_unnamed(file) => Kind::Pipe,
        Ok(kind) if kind.is_socket() => Kind::Socket,
        _ => Kind::Other,
    }
}

/// Whether a pipe has no name of its own, as far as that can be found out. Of a named one that is opened anew the
/// system does not tell that its writers have gone before.
fn is_unnamed(file: &File) -> bool {
    cfg!(target_os = "linux")
        && std::fs::read_link(anew(file)).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"))
}

/// Opened under this name, a pipe blocks nobody, and does so for others who have it as before.
fn anew(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn socket(file: &File) -> io::Result<UnixStream> {
    let socket = Socket::from(OwnedFd::from(file.try_clone()?));
    socket.set_nonblocking(true)?;
    let waited = UnixStream::from_std(socket.try_clone()?);
    if waited.is_err() {
        socket.set_nonblocking(false)?;
    }
    waited
}
