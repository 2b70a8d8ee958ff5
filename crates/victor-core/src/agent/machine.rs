//! The loop's rules.
use serde::{Deserialize, Serialize};
/// Stub
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {}
