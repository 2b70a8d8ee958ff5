//! Anthropic Messages (API reference, "Messages"), version 2023-06-01.

pub(crate) mod decode;
pub(crate) mod request;

/// The wire's name in saved blocks.
pub(crate) const NAME: &str = "anthropic";

/// The value of the `anthropic-version` header.
pub(crate) const VERSION: &str = "2023-06-01";

#[cfg(test)]
mod tests;
