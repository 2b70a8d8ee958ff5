//! Teams: several agents that work on one task in a formation, under one budget.

pub mod spec;

pub use spec::{Formation, MemberFailure, MemberSpec, Seat, TeamSpec};
