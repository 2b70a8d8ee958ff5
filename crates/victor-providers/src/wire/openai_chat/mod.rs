//! OpenAI Chat Completions, as OpenAI documents it (API reference, "Chat") and as compatible servers speak it.

pub(crate) mod decode;
pub(crate) mod request;
mod tool_calls;

/// The wire's name in saved blocks.
pub(crate) const NAME: &str = "openai_chat";

/// The type of the opaque block that keeps what a server hung on a tool call and wants back with it
/// (Gemini's thought signatures in `extra_content`).
const CALL_EXTRA: &str = "tool_call_extra";

#[cfg(test)]
mod tests;
