//! `ls`: what a folder holds, as a tree.

use std::borrow::Cow;
use std::fmt::Write;

use cap_std::fs::Dir;
use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::{Access, PathRules};
use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput};

use super::{Opened, plan_for};
use crate::blocking;
use crate::path::Place;
use crate::platform::{self, Kind};

/// Entries that are shown at most.
const ENTRIES: usize = 1000;

/// Lists folders.
pub struct Ls;

/// The arguments of `ls`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LsArgs {
    /// The folder: relative to the workspace's root, or absolute; the root if not given.
    path: Option<String>,
    /// How many levels to list, from 1 (the folder alone, the default) to 8.
    #[schemars(range(min = 1, max = 8))]
    depth: Option<usize>,
    /// Lists hidden entries too, those whose name begins with a dot.
    #[serde(default)]
    all: bool,
}

impl Tool for Ls {
    const NAME: &'static str = "ls";
    type Args = LsArgs;

    fn description(&self) -> Cow<'static, str> {
        "Lists a folder, sorted by name; folders end with `/`, files show their size in bytes. At most 1000 entries. \
         To look for files by name use find_files."
            .into()
    }

    fn category(&self) -> &'static str {
        "files"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: LsArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let place = Place::resolve(&cx.workspace, args.path.as_deref().unwrap_or("."), Access::Read)?;
        let opened = Opened::early(&place, open);
        let target = place.clone();
        Ok(plan_for(Effects::READ, &place, &[Access::Read], move |permit, cx| {
            blocking(move || {
                let dir = opened.get(&target, open)?;
                let mut listing = Listing::new(args.all, &target, permit.paths(), &cx);
                listing.folder(&dir, "", 0, args.depth.unwrap_or(1).clamp(1, 8));
                Ok(ToolOutput::text(listing.render()))
            })
        }))
    }
}

fn open(place: &Place) -> Result<Dir, ToolError> {
    let found = place.open()?.folder()?;
    found.ok_or_else(|| ToolError::model(format!("there is no folder `{}`", place.shown)))
}

struct Listing<'a> {
    all: bool,
    place: &'a Place,
    rules: &'a PathRules,
    cx: &'a ToolCx,
    text: String,
    shown: usize,
    hidden: usize,
    left_out: bool,
}

impl<'a> Listing<'a> {
    fn new(all: bool, place: &'a Place, rules: &'a PathRules, cx: &'a ToolCx) -> Self {
        Self { all, place, rules, cx, text: String::new(), shown: 0, hidden: 0, left_out: false }
    }

    fn folder(&mut self, dir: &Dir, below: &str, level: usize, depth: usize) {
        let Ok(entries) = dir.entries() else {
            let _ = writeln!(self.text, "{}(cannot be read)", "  ".repeat(level));
            return;
        };
        let mut names: Vec<_> = entries.flatten().map(|e| e.file_name()).collect();
        names.sort_unstable();
        for name in names {
            if self.cx.cancel.is_cancelled() || self.shown >= ENTRIES {
                self.left_out = true;
                return;
            }
            let text = name.to_string_lossy();
            let path = if below.is_empty() { text.to_string() } else { format!("{below}/{text}") };
            if !self.all && text.starts_with('.') {
                continue;
            }
            if self.is_hidden(&path) {
                self.hidden += 1;
                continue;
            }
            self.entry(dir, &name, &text, level);
            self.shown += 1;
            let goes_on = level + 1 < depth && text != ".git";
            if goes_on
                && platform::kind_at(dir, &name).is_ok_and(|k| k == Kind::Folder)
                && let Ok(next) = platform::open_dir_at(dir, &name)
            {
                self.folder(&next, &path, level + 1, depth);
            }
        }
    }

    fn is_hidden(&self, below: &str) -> bool {
        let relative = self.place.relative.as_deref().map(|r| match r {
            "" => below.to_owned(),
            folder => format!("{folder}/{below}"),
        });
        let absolute = self.place.absolute.join(below);
        self.rules.hides(Ls::NAME, relative.as_deref(), &absolute.display().to_string())
    }

    fn entry(&mut self, dir: &Dir, name: &std::ffi::OsStr, text: &str, level: usize) {
        let indent = "  ".repeat(level);
        // Writing to a string cannot fail.
        let _ = match platform::kind_at(dir, name) {
            Ok(Kind::Folder) => writeln!(self.text, "{indent}{text}/"),
            Ok(Kind::File) => {
                let size = dir.symlink_metadata(name).map_or(0, |m| m.len());
                writeln!(self.text, "{indent}{text} ({size})")
            }
            Ok(Kind::Link) => {
                let target = dir.read_link_contents(name).map(|t| t.display().to_string()).unwrap_or_default();
                writeln!(self.text, "{indent}{text} -> {target}")
            }
            Ok(Kind::Special(what)) => writeln!(self.text, "{indent}{text} ({what})"),
            Err(_) => writeln!(self.text, "{indent}{text} (unknown)"),
        };
    }

    fn render(mut self) -> String {
        if self.shown == 0 {
            let all = if self.all { "" } else { " that is not hidden" };
            let _ = writeln!(self.text, "(`{}` holds nothing{all})", self.place.shown);
        }
        if self.left_out {
            let _ = writeln!(self.text, "[more than {ENTRIES} entries; list a folder of it, or use find_files]");
        }
        if self.hidden > 0 {
            let _ = writeln!(self.text, "[{} entries are kept out by permission rules]", self.hidden);
        }
        self.text
    }
}
