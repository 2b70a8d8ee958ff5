//! Stand-ins for the tests of plug-ins and applications: a clock that counts, a scripted provider, a bench for tools.

mod bench;
mod clock;
mod provider;

pub use bench::ToolBench;
pub use clock::TestClock;
pub use provider::{ScriptedProvider, reply_calls, reply_text};
