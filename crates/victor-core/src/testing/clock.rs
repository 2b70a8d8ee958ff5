//! A clock for tests: it counts instead of measuring.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::id::{Clock, Timestamp};

/// A clock that moves on by a millisecond whenever it is read, and whose ids count up.
#[derive(Debug, Default)]
pub struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ticks = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(ticks).unwrap_or(0) * 1000)
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}
