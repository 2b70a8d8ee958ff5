//! The built binary in a folder and a home of its own: what whole-product tests and examples start from.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "test equipment: what it cannot set up ends the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::ModelServer;

/// A workspace and a home that go away with the value.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An empty workspace and an empty home.
    ///
    /// # Panics
    /// The folders cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["home", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Self { folder }
    }

    /// The workspace.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// `VICTOR_HOME`.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file of the workspace.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// `victor` with these arguments, in the workspace, with nothing of this machine's environment but `PATH`.
    #[must_use]
    pub fn victor(&self, args: &[&str]) -> Command {
        let mut command = self.program(&built("victor"));
        command.args(args);
        command
    }

    /// The same, with `server` as the OpenAI provider.
    #[must_use]
    pub fn with_model(&self, server: &ModelServer, args: &[&str]) -> Command {
        let mut command = self.victor(args);
        command.env("OPENAI_BASE_URL", server.base_url()).env("OPENAI_API_KEY", "test-key");
        command
    }

    /// Any program, in the same surroundings.
    #[must_use]
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("VICTOR_HOME", self.home())
            .stdin(std::process::Stdio::null());
        command
    }
}

/// A program or example that `cargo xtask test` has built.
///
/// # Panics
/// It was not built.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("the test's own path");
    let folder = here.parent().and_then(Path::parent).expect("the folder of built programs");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built; `cargo xtask test` builds it", path.display());
    path
}

/// Standard output and standard error as text, and the exit code.
#[must_use]
pub fn told(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

/// Every saved session of the bench, latest first, as `victor sessions list --json` tells them.
///
/// # Panics
/// The command fails.
#[must_use]
pub fn sessions(bench: &Bench) -> Vec<Value> {
    let output = bench.victor(&["sessions", "list", "--all", "--json"]).output().expect("an answer");
    let (out, err, code) = told(&output);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str::<Value>(&out).expect("an answer").as_array().expect("an answer").clone()
}

/// Checks that a command was refused: nothing on stdout, this exit code, all of these words on stderr, no internals.
///
/// # Panics
/// It was not.
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let (out, err, got) = told(output);
    assert_eq!((got, out.as_str()), (code, ""), "{err}");
    for word in words {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{err}");
}
