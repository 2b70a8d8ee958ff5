//! How the program ends: exit codes, and errors written for the person at the terminal.

use std::fmt;
use std::io;
use std::process::ExitCode;

use victor::agent::{Outcome, Status};
use victor::error::{ConfigurationError, ProviderErrorKind, SessionError, ToolError, VictorError};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: it is done.
    Done,
    /// 1: it failed.
    Failed,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: configuration or credentials.
    Configuration,
    /// 4: the provider failed.
    Provider,
    /// 5: a limit was reached.
    Limit,
    /// 6: something that it needed was denied.
    Denied,
    /// 130: Ctrl-C or another signal to end.
    Interrupted,
    /// 141: whoever read stdout went away; what a shell shows of a program that SIGPIPE ended.
    BrokenPipe,
}

impl Exit {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Provider => 4,
            Self::Limit => 5,
            Self::Denied => 6,
            Self::Interrupted => 130,
            Self::BrokenPipe => 141,
        }
    }

    /// How a run that ended like this ends the program.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome.status {
            Status::Completed => Self::Done,
            Status::Limit => Self::Limit,
            Status::Denied | Status::Waiting => Self::Denied,
            Status::Cancelled => Self::Interrupted,
            Status::Failed => outcome.error.as_ref().map_or(Self::Failed, |e| Self::of_code(&e.code)),
            _ => Self::Failed,
        }
    }

    fn of_code(code: &str) -> Self {
        match code {
            "PROVIDER_ERROR" | "TIMEOUT" => Self::Provider,
            "PROVIDER_NOT_CONFIGURED"
            | "PROVIDER_NOT_FOUND"
            | "MODEL_NOT_FOUND"
            | "INVALID_VALUE"
            | "MISSING_FIELD" => Self::Configuration,
            "PERMISSION_DENIED" => Self::Denied,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked to do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What happened and what to do; empty where there is nobody to tell, or it was told already.
    pub(crate) message: String,
}

impl Failure {
    /// A failure to be told as `message`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The work failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A failure that was told already.
    pub(crate) fn told(exit: Exit) -> Self {
        Self::new(exit, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<VictorError> for Failure {
    fn from(error: VictorError) -> Self {
        let exit = match &error {
            VictorError::Provider(e) => match e.kind {
                ProviderErrorKind::NotConfigured | ProviderErrorKind::Authentication => Exit::Configuration,
                _ => Exit::Provider,
            },
            VictorError::Tool(ToolError::Denied(_)) => Exit::Denied,
            // An answer that does not fit what was asked for is the model's fault, not a setting's.
            VictorError::Configuration(e) if e.code == "PROVIDER_ERROR" => Exit::Provider,
            VictorError::Configuration(_) => Exit::Configuration,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        VictorError::from(error).into()
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        VictorError::from(error).into()
    }
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        VictorError::from(error).into()
    }
}

impl From<io::Error> for Failure {
    /// An error of writing to stdout; others are told with the name of what they belong to.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::told(Exit::BrokenPipe),
            _ => Self::failed(format!("the output cannot be written: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use victor::error::ProviderError;

    #[test]
    fn errors_end_with_the_documented_codes() {
        let provider = |kind| VictorError::Provider(ProviderError::new(kind, "openai", "no"));
        for (error, code) in [
            (provider(ProviderErrorKind::NotConfigured), 3),
            (provider(ProviderErrorKind::Authentication), 3),
            (provider(ProviderErrorKind::Connection), 4),
            (provider(ProviderErrorKind::RateLimited), 4),
            (VictorError::Configuration(ConfigurationError::new("bad")), 3),
            (VictorError::Tool(ToolError::Denied("no".into())), 6),
            (VictorError::Session(SessionError::NotFound("x".into())), 1),
        ] {
            assert_eq!(Failure::from(error.clone()).exit.code(), code, "{error}");
        }
    }

    #[test]
    fn a_reader_that_left_is_told_nothing() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::BrokenPipe, ""));
    }
}
