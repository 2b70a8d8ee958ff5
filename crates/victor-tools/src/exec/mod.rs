//! Running programs: the `bash` tool, the splitting of shell lines, and processes that never outlive their call.

mod bash;
mod environment;
mod output;
mod process;
mod split;
mod watch;
mod wrapper;

pub use bash::Bash;
pub use split::{Split, split_command};

pub(crate) use environment::{inherited, without_secrets};
pub(crate) use output::Capture;
pub(crate) use process::{Ending, Job, run};
