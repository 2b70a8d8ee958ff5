//! Clients, servers and test suites of others that the tests talk with: by package name, at the versions that
//! `tests/peers` names, in a folder beside the build.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::sh;

/// Where they are installed, from the workspace's root.
const FOLDER: &str = "target/peers";

/// Installs what is not there yet; tells what will not run.
pub(crate) fn provide() -> Vec<String> {
    let npm =
        Registry { list: "package.json", without: "the MCP conformance suite, and MCP clients and servers from npm" };
    let pip = Registry { list: "requirements.txt", without: "MCP clients and servers from the Python index" };
    [npm.install(from_npm), pip.install(from_pip)].into_iter().flatten().collect()
}

/// A source of packages, with the list of what is taken from it.
struct Registry {
    list: &'static str,
    without: &'static str,
}

impl Registry {
    /// What does not run, if it cannot be installed. The list is copied last, so that a broken attempt is repeated.
    fn install(&self, install: impl Fn(&Path, &Path) -> Result<(), String>) -> Option<String> {
        let (list, folder) = (sh::root().join("tests/peers").join(self.list), sh::root().join(FOLDER));
        let done = folder.join(format!("{}.installed", self.list));
        let wanted = fs::read(&list).ok()?;
        if fs::read(&done).is_ok_and(|there| there == wanted) {
            return None;
        }
        let made = fs::create_dir_all(&folder).map_err(|e| e.to_string()).and_then(|()| install(&list, &folder));
        let made = made.and_then(|()| fs::write(&done, &wanted).map_err(|e| e.to_string()));
        made.err().map(|why| format!("{} ({why})", self.without))
    }
}

/// `npm install` with a Node of its own: the suite needs a newer one than most systems have.
fn from_npm(list: &Path, folder: &Path) -> Result<(), String> {
    fs::copy(list, folder.join("package.json")).map_err(|e| e.to_string())?;
    let flags = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    let mut npm = sh::command("npm", &flags);
    npm.current_dir(folder);
    sh::run(npm)
}

fn from_pip(list: &Path, folder: &Path) -> Result<(), String> {
    let venv = folder.join("python");
    let mut create = sh::command("python3", &["-m", "venv"]);
    create.arg(&venv);
    sh::run(create)?;
    let mut install = Command::new(venv.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(list);
    sh::run(install)
}
