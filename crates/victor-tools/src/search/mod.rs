//! Search tools: files by name, and lines by what stands in them.

mod find_files;
mod grep;
mod walk;

pub use find_files::FindFiles;
pub use grep::Grep;
pub(crate) use walk::Search;
