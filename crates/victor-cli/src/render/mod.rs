//! What things look like on a terminal.

pub(crate) mod answer;
pub(crate) mod block;
pub(crate) mod diff;
pub(crate) mod fetch;
pub(crate) mod footer;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod screen;
pub(crate) mod spinner;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod tool_line;
pub(crate) mod work_line;
pub(crate) mod wrap;
