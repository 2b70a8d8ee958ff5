//! Commands that run other commands: `sudo`, `env`, `xargs`, `timeout`, `find -exec`, `sh -c` and their like.

/// What a command runs beside itself.
pub(super) enum Inner<'a> {
    /// Nothing that is known.
    Nothing,
    /// The words from here on, up to there.
    Command(&'a [Word]),
    /// Several commands.
    Commands(Vec<&'a [Word]>),
    /// A shell's script.
    Script(&'a str),
    /// Something that cannot be told from the line.
    Unknown(&'static str),
}

/// One word of a command.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// As it is written.
    pub(super) raw: String,
    /// What the shell makes of it; `None` if that cannot be told from the line.
    pub(super) literal: Option<String>,
}

impl Word {
    fn text(&self) -> &str {
        self.literal.as_deref().unwrap_or(&self.raw)
    }

    fn is_option(&self) -> bool {
        self.text().starts_with('-') && self.text() != "-"
    }
}

/// How a wrapper reads its own words.
struct Wrapper {
    name: &'static str,
    /// Options that take the next word as their value.
    valued: &'static [&'static str],
    /// Words of its own, after the options and before the command.
    own: usize,
    /// Whether assignments stand before the command.
    assigns: bool,
}

const fn wrapper(name: &'static str, valued: &'static [&'static str]) -> Wrapper {
    Wrapper { name, valued, own: 0, assigns: false }
}

const WRAPPERS: [Wrapper; 26] = [
    Wrapper {
        assigns: true,
        ..wrapper(
            "sudo",
            &["-u", "-g", "-h", "-p", "-C", "-T", "-r", "-t", "-U", "-D", "-R", "--user", "--group", "--chdir"],
        )
    },
    wrapper("doas", &["-u", "-C"]),
    Wrapper { assigns: true, ..wrapper("env", &["-u", "--unset", "-C", "--chdir"]) },
    wrapper(
        "xargs",
        &[
            "-I",
            "-n",
            "-P",
            "-L",
            "-d",
            "-a",
            "-E",
            "-s",
            "--max-args",
            "--max-procs",
            "--max-lines",
            "--delimiter",
            "--arg-file",
        ],
    ),
    Wrapper { own: 1, ..wrapper("timeout", &["-k", "-s", "--kill-after", "--signal"]) },
    wrapper("nohup", &[]),
    wrapper("setsid", &[]),
    wrapper("nice", &["-n", "--adjustment"]),
    wrapper("ionice", &["-c", "-n", "--class", "--classdata"]),
    wrapper("stdbuf", &["-i", "-o", "-e", "--input", "--output", "--error"]),
    wrapper("time", &["-o", "-f", "--output", "--format"]),
    wrapper("command", &[]),
    wrapper("builtin", &[]),
    wrapper("exec", &["-a"]),
    // `jobs -x` runs a command.
    wrapper("jobs", &[]),
    wrapper("busybox", &[]),
    wrapper("toybox", &[]),
    wrapper("strace", &["-e", "-o", "-p", "-s", "-u"]),
    wrapper("unshare", &[]),
    wrapper("setpriv", &["--reuid", "--regid", "--groups", "--inh-caps", "--ambient-caps", "--bounding-set"]),
    wrapper("prlimit", &[]),
    wrapper("setarch", &[]),
    Wrapper { own: 1, ..wrapper("taskset", &[]) },
    Wrapper { own: 1, ..wrapper("chrt", &["-T", "-P", "-D"]) },
    Wrapper { own: 1, ..wrapper("chroot", &[]) },
    Wrapper { own: 1, ..wrapper("flock", &["-w", "-E", "--timeout"]) },
];

const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "rbash"];

/// Builtins and programs that run text which is not in the line, or change what later words mean.
const OPAQUE: [&str; 16] = [
    "eval",
    "source",
    ".",
    "trap",
    "alias",
    "enable",
    "coproc",
    "watch",
    "parallel",
    "script",
    "su",
    "mapfile",
    "readarray",
    "fc",
    "complete",
    "compgen",
];

/// What the command of these words runs beside itself; the first word is its name.
pub(super) fn inner(words: &[Word]) -> Inner<'_> {
    let Some((first, rest)) = words.split_first() else { return Inner::Nothing };
    let name = base_name(first.text());
    if OPAQUE.contains(&name) {
        return Inner::Unknown("it runs text that cannot be told from the line");
    }
    if SHELLS.contains(&name) {
        return shell(rest);
    }
    if name == "find" || name == "fd" {
        return find(rest);
    }
    match WRAPPERS.iter().find(|w| w.name == name) {
        Some(wrapper) => unwrap(wrapper, rest),
        None => Inner::Nothing,
    }
}

/// The name of a program without the folder that it stands in.
pub(super) fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn unwrap<'a>(wrapper: &Wrapper, mut words: &'a [Word]) -> Inner<'a> {
    while let Some((first, rest)) = words.split_first() {
        if first.literal.is_none() {
            return Inner::Unknown("what it runs cannot be told from the line");
        }
        let text = first.text();
        if text == "--" {
            words = rest;
            break;
        }
        if wrapper.name == "env" && (text.starts_with("-S") || text.starts_with("--split-string")) {
            return Inner::Unknown("env -S splits a text of its own");
        }
        if first.is_option() {
            let valued = wrapper.valued.contains(&text);
            words = rest.get(usize::from(valued)..).unwrap_or_default();
            continue;
        }
        if wrapper.assigns && text.contains('=') {
            words = rest;
            continue;
        }
        break;
    }
    let command = words.get(wrapper.own..).unwrap_or_default();
    match command.first() {
        None => Inner::Nothing,
        Some(Word { literal: None, .. }) => Inner::Unknown("what it runs cannot be told from the line"),
        // flock takes a shell's script, too.
        Some(word) if wrapper.name == "flock" && word.text() == "-c" => shell(command),
        Some(_) => Inner::Command(command),
    }
}

fn shell(words: &[Word]) -> Inner<'_> {
    let mut valued = false;
    for (at, word) in words.iter().enumerate() {
        if std::mem::take(&mut valued) {
            continue;
        }
        let Some(text) = &word.literal else {
            return Inner::Unknown("what the shell runs cannot be told from the line");
        };
        let flags = text.strip_prefix(['-', '+']).filter(|f| !f.starts_with('-') && !f.is_empty());
        match flags {
            Some(flags) if text.starts_with('-') && flags.contains('c') => {
                // More options may stand between -c and the script.
                let script = words[at + 1..].iter().find(|w| !w.is_option());
                return match script.map(|w| w.literal.as_deref()) {
                    Some(Some(script)) => Inner::Script(script),
                    _ => Inner::Unknown("the shell's script cannot be told from the line"),
                };
            }
            Some(flags) if flags.contains('s') => {
                return Inner::Unknown("the shell reads what it runs from its input");
            }
            Some(flags) => valued = flags.ends_with(['o', 'O']),
            None if text == "--version" || text == "--help" => return Inner::Nothing,
            None if text.starts_with("--") => {
                return Inner::Unknown("the shell's options cannot be told from the line");
            }
            None => return Inner::Nothing,
        }
    }
    Inner::Unknown("the shell reads what it runs from its input")
}

fn find(words: &[Word]) -> Inner<'_> {
    let starts = ["-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch"];
    let mut commands = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        if word.literal.is_none() && word.raw.starts_with('$') {
            return Inner::Unknown("an option of find cannot be told from the line");
        }
        at += 1;
        if starts.contains(&word.text()) {
            let rest = &words[at..];
            let end = rest.iter().position(|w| matches!(w.text(), ";" | "+")).unwrap_or(rest.len());
            if rest[..end].first().is_some_and(|w| w.literal.is_none()) {
                return Inner::Unknown("what find runs cannot be told from the line");
            }
            commands.push(&rest[..end]);
            at += end;
        }
    }
    if commands.is_empty() { Inner::Nothing } else { Inner::Commands(commands) }
}
