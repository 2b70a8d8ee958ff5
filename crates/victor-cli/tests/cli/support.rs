//! A home and a folder of their own for each test, and a way to run the program in them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test equipment: it is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use victor_tests::ModelServer;

/// A home, a folder to work in, and nothing else of this machine.
pub(crate) struct Desk {
    dir: TempDir,
    server: Option<String>,
}

impl Desk {
    /// Without a provider.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home", "work"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, server: None }
    }

    /// With `server` as OpenAI.
    pub(crate) fn with(server: &ModelServer) -> Self {
        Self { server: Some(server.base_url()), ..Self::bare() }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home/.victor")
    }

    /// Writes a file below the folder to work in.
    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        write(&self.work().join(path), text);
        self
    }

    /// The program with these arguments, separated by spaces.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_victor"));
        command.args(args.split_whitespace()).current_dir(self.work()).env_clear();
        command.env("HOME", self.dir.path().join("home")).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Nothing of this machine may answer where a test expects nobody.
        command.env("OLLAMA_HOST", "http://127.0.0.1:9");
        if let Some(server) = &self.server {
            command.env("OPENAI_API_KEY", "test-key").env("OPENAI_BASE_URL", server);
        }
        command
    }

    pub(crate) fn run(&self, args: &str) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// Runs the program with `text` as its stdin.
    pub(crate) fn pipe(&self, args: &str, text: &str) -> Ended {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A program that has no use for its stdin may be gone already.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes());
        Ended::of(child.wait_with_output().unwrap())
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Sends a signal by its name, as `kill` does.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}
