//! Workflows: graphs of agents, tools, conditions and people, with checkpoints.
#![forbid(unsafe_code)]
