//! The environment that programs get: the user's own, without the secrets in it.

use std::ffi::OsString;
use std::process::Command;

/// Words of a name that say that the value is a secret.
const SECRET: [&str; 10] =
    ["TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "CREDENTIALS", "PAT"];
/// Words before `KEY` that make it a secret one.
const KEYS: [&str; 6] = ["API", "ACCESS", "SECRET", "PRIVATE", "ENCRYPTION", "AUTH"];
/// What would make the shell run something that nobody saw.
const SHELL: [&str; 4] = ["BASH_ENV", "ENV", "SHELLOPTS", "PROMPT_COMMAND"];

/// Gives `command` this process's environment without secrets and without what makes a shell run more than its line.
pub(crate) fn without_secrets(command: &mut Command) {
    for name in inherited() {
        let text = name.to_string_lossy();
        if is_secret(&text) || SHELL.contains(&&*text) || text.starts_with("BASH_FUNC_") {
            command.env_remove(&name);
        }
    }
}

/// The names of what programs inherit.
#[expect(
    clippy::disallowed_methods,
    reason = "programs inherit the environment; what they must not get has to be named"
)]
pub(crate) fn inherited() -> Vec<OsString> {
    std::env::vars_os().map(|(name, _)| name).collect()
}

/// Whether the name says that the value is a secret: `OPENAI_API_KEY`, `GITHUB_TOKEN`, `DB_PASSWORD`.
fn is_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    let words: Vec<&str> = upper.split('_').filter(|w| !w.is_empty()).collect();
    let key = words.windows(2).any(|w| w[1].starts_with("KEY") && KEYS.contains(&w[0]));
    key || words.iter().any(|w| SECRET.contains(w)) || upper.starts_with("VICTOR_") && upper.ends_with("KEY")
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names_tell_secrets() {
        for name in [
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "VICTOR_API_KEY",
            "VICTOR_SERVER__AUTH__API_KEY",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "DB_PASSWORD",
            "my_api_key",
            "OPENAI_API_KEYS",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "SSH_AUTH_SOCK", "TOKENIZERS_PARALLELISM", "KEYBOARD", "XDG_SESSION_ID"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
