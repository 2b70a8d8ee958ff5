//! `#[derive(Tool)]`: a tool from the struct of its arguments.
#![forbid(unsafe_code)]

mod tool;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a tool of a struct: its fields are the arguments, its method `async fn run(self, cx: ToolCx) -> Result<_,
/// ToolError>` the work. Gives it a function `tool()`, which returns the tool.
///
/// The struct derives `Deserialize` and `JsonSchema` too. `#[tool(..)]` takes
/// - `effects(..)`, which must be there: the most that it does, of `none`, `read`, `write`, `execute`, `network`,
///   `agent`, `unsandboxed`;
/// - `name = ".."`; the struct's name in snake case unless said;
/// - `description = ".."`; the struct's doc comment unless said;
/// - `crate = ".."`, the path of `victor-core` where `victor` is not used.
#[proc_macro_derive(Tool, attributes(tool))]
pub fn derive_tool(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    tool::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
