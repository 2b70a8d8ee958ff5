//! The system's clock, and ids made with it.

use uuid::Uuid;
use victor_core::id::{Clock, Timestamp};

/// The time and the random source of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the clock that the runtime gets")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
