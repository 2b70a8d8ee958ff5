//! Workflow files: reading, checking, and making graphs of them.
//!
//! Everything that is wrong with a file is told at once, each with file, line and column.

mod check;
mod compile;
mod decode;
mod document;
mod extend;
mod load;
mod names;
mod node;
mod place;
mod reference;
mod scalar;
mod schema;
mod team;
#[cfg(test)]
mod tests;
mod tree;
mod variables;

pub(crate) use check::graph::{Edge, edges, unled};
pub(crate) use compile::narrowest;
pub use compile::{Compiled, Inputs, Resolve};
pub(crate) use decode::unknown;
pub use document::{Document, Entries, Head, Input, InputKind, Metadata, Names, Workflow};
pub use load::{Known, load, to_json};
pub use node::{
    AgentNode, Common, ConditionNode, ErrorStrategy, Fallback, HitlNode, HitlType, Join, Node, NodeKind, Operation,
    ParallelHead, ParallelNode, PassthroughNode, ToolNode, TransformKind, TransformNode, WaitFor, WorkflowNode,
};
pub use place::{At, Mistake, Mistakes, Place, Source};
pub use schema::schema_json;
pub use team::{Formation, Member, MemberFailure, TeamNode};
pub use tree::{MAX_FILE, MAX_NESTING, MAX_NODES};
pub use variables::BUILT_IN;
