//! Slash commands as they are typed.

/// What `/help` says of a command.
pub(super) struct About {
    /// `/name`.
    pub(super) name: &'static str,
    /// Its arguments.
    pub(super) args: &'static str,
    /// What it does.
    pub(super) about: &'static str,
    kind: Kind,
}

/// Which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Help,
    Model,
    Provider,
    Mode,
    Tools,
    Mcp,
    Permissions,
    Cost,
    Context,
    Compact,
    Clear,
    Resume,
    Undo,
    Quit,
}

/// All commands.
pub(super) const COMMANDS: [About; 14] = [
    about("/help", "", "this list", Kind::Help),
    about("/model", "[ID]", "show or change the model", Kind::Model),
    about("/provider", "[NAME]", "show or change the provider", Kind::Provider),
    about("/mode", "[MODE]", "show or change what the agent may do", Kind::Mode),
    about("/tools", "", "the agent's tools", Kind::Tools),
    about("/mcp", "", "the MCP servers, and how they stand", Kind::Mcp),
    about("/permissions", "", "what is allowed, asked and denied", Kind::Permissions),
    about("/cost", "", "tokens and money of this chat", Kind::Cost),
    about("/context", "", "how full the model's window is", Kind::Context),
    about("/compact", "", "make the conversation shorter", Kind::Compact),
    about("/clear", "", "begin a new conversation", Kind::Clear),
    about("/resume", "[ID]", "go on with another session", Kind::Resume),
    about("/undo", "", "take the last turn back, with its changes of files", Kind::Undo),
    about("/quit", "", "leave", Kind::Quit),
];

/// What else can be typed, with what it does.
pub(super) const OTHERS: [(&str, &str); 6] = [
    ("@file", "show the agent a file"),
    ("@server:uri", "show the agent a resource of an MCP server"),
    ("/server:prompt", "say a prompt of an MCP server, with its arguments as name=value"),
    ("!command", "run a command yourself; its output joins the conversation"),
    ("Alt-Enter, \\", "another line; the backslash at the end of one"),
    ("Ctrl-C", "stop a turn; once more leaves"),
];

const fn about(name: &'static str, args: &'static str, about: &'static str, kind: Kind) -> About {
    About { name, args, about, kind }
}

/// The command of a line, with its argument.
///
/// # Errors
/// There is no such command; says which come near.
pub(super) fn parse(line: &str) -> Result<(Kind, &str), String> {
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let name = if name == "/exit" { "/quit" } else { name };
    match COMMANDS.iter().find(|c| c.name == name) {
        Some(command) => Ok((command.kind, argument.trim())),
        None => {
            let near = victor::error::nearest(name, COMMANDS.iter().map(|c| c.name));
            let hint = if near.is_empty() {
                "/help lists them".to_owned()
            } else {
                format!("did you mean {}?", near.join(" or "))
            };
            Err(format!("no command `{name}`; {hint}"))
        }
    }
}

/// Whether a line that begins with `/` is a prompt that begins with a path.
pub(super) fn is_path(line: &str) -> bool {
    line.split_whitespace().next().is_some_and(|word| word[1..].contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commands_and_leaves_paths_alone() {
        assert_eq!(parse("/model  openai/x "), Ok((Kind::Model, "openai/x")));
        assert_eq!(parse("/exit"), Ok((Kind::Quit, "")));
        assert_eq!(parse("/modle"), Err("no command `/modle`; did you mean `/model` or `/mode`?".to_owned()));
        assert!(is_path("/etc/hosts is what?") && !is_path("/model a/b"));
    }
}
