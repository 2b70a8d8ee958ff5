//! The pipes that an MCP client has opened, taken out of everybody else's reach: whatever writes to standard output by
//! mistake, in this process or in a program that it starts, lands on standard error and cannot break the protocol.

use std::fs::File;
use std::io;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout};

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
