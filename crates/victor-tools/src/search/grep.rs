//! `grep`: lines that fit a regular expression.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch};
use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::Access;
use victor_core::sandbox::Workspace;
use victor_core::tool::{Effects, Permit, Plan, Tool, ToolCx, ToolOutput};

use super::walk::{FileGlob, Passed, Search};
use crate::blocking;
use crate::path::Place;

/// Matching lines that are answered unless the call says otherwise, and at most.
const MATCHES: usize = 200;
const MATCHES_MOST: usize = 2000;
/// Bytes that are shown of one line, and of all.
const LINE_BYTES: usize = 500;
const TOTAL_BYTES: usize = 50_000;
/// Memory for one line and its context; a longer line ends the search of its file.
const HEAP_BYTES: usize = 32 << 20;

/// Searches file contents.
pub struct Grep;

/// The arguments of `grep`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrepArgs {
    /// The regular expression, in the syntax of Rust's regex crate; it is matched within lines.
    pattern: String,
    /// The file or folder to search: relative to the workspace's root, or absolute; the root if not given.
    path: Option<String>,
    /// Searches only files that fit this glob: `*.rs` fits names, `src/**/*.rs` fits paths below the folder.
    glob: Option<String>,
    /// Lines to show before and after each match, at most 20.
    #[schemars(range(max = 20))]
    context: Option<usize>,
    /// Takes upper and lower case as the same.
    #[serde(default)]
    case_insensitive: bool,
    /// Matching lines to answer at most; 200 if not given, never more than 2000.
    #[schemars(range(min = 1))]
    max: Option<usize>,
    /// Answers only the paths of files with a match.
    #[serde(default)]
    files_only: bool,
    /// Searches hidden files too, those whose name begins with a dot.
    #[serde(default)]
    hidden: bool,
}

impl Tool for Grep {
    const NAME: &'static str = "grep";
    type Args = GrepArgs;

    fn description(&self) -> Cow<'static, str> {
        "Searches files for lines that fit a regular expression and answers them as `path:line:text` (context lines as \
         `path-line-text`), sorted by path. Files that .gitignore names, binary files, and hidden files unless asked \
         for, are passed over."
            .into()
    }

    fn category(&self) -> &'static str {
        "search"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    fn output(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({
            "type": "object",
            "properties": {
                "output": {"type": "string", "description": "The lines: file, number and text, with `:` at a match"},
                "matches": {"type": "integer"},
                "files": {"type": "integer"},
                "truncated": {"type": "boolean"},
            },
            "required": ["output", "matches", "files", "truncated"],
        }))
    }

    async fn plan(&self, args: GrepArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let mut builder = RegexMatcherBuilder::new();
        builder.case_insensitive(args.case_insensitive).line_terminator(Some(b'\n'));
        let matcher = builder.build(&args.pattern);
        let matcher =
            matcher.map_err(|e| ToolError::model(format!("`{}` cannot be searched for: {e}", args.pattern)))?;
        let glob = args.glob.as_deref().map(FileGlob::new).transpose()?;
        let place = Place::resolve(&cx.workspace, args.path.as_deref().unwrap_or("."), Access::Read)?;
        let target = place.clone();
        let plan = Plan::new(Effects::READ, move |permit, cx| {
            blocking(move || run(&args, &target, &matcher, glob.as_ref(), &permit, &cx))
        });
        Ok(place.keys(Access::Read).into_iter().fold(plan, Plan::key))
    }
}

fn run(
    args: &GrepArgs,
    place: &Place,
    matcher: &RegexMatcher,
    glob: Option<&FileGlob>,
    permit: &Permit,
    cx: &ToolCx,
) -> Result<ToolOutput, ToolError> {
    let mut hits = Hits::new(args);
    let mut searcher = SearcherBuilder::new()
        .line_number(true)
        .before_context(args.context.unwrap_or(0).min(20))
        .after_context(args.context.unwrap_or(0).min(20))
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(HEAP_BYTES))
        .build();
    let spot = place.open()?;
    if spot.is_file() {
        let file = spot.read()?.ok_or_else(|| ToolError::model(format!("there is no file `{}`", place.shown)))?;
        hits.search(&mut searcher, matcher, &file, &place.shown);
        return Ok(hits.answer(args, place, &Passed::default()));
    }
    if spot.folder()?.is_none() {
        return Err(ToolError::model(format!("there is no file or folder `{}`", place.shown)));
    }
    let search = Search { tool: Grep::NAME, place, hidden: args.hidden, rules: permit.paths(), cx };
    let passed = search.files(|found| {
        if glob.is_none_or(|g| g.fits(&found.below))
            && let Some(file) = open(&cx.workspace, &found.absolute)
        {
            hits.search(&mut searcher, matcher, &file, &found.shown);
        }
        if hits.full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(hits.answer(args, place, &passed))
}

/// Opens what the walk came across again, without following links: it may have changed since.
fn open(workspace: &Workspace, path: &std::path::Path) -> Option<File> {
    let place = Place::at(workspace, path, Access::Read).ok()?;
    if place.absolute != path {
        return None;
    }
    place.open().ok()?.read().ok()?
}

struct Hits {
    text: String,
    matches: usize,
    files: usize,
    most: usize,
    files_only: bool,
    full: bool,
    /// Files that could not be searched to their end.
    failed: usize,
}

impl Hits {
    fn new(args: &GrepArgs) -> Self {
        let most = args.max.unwrap_or(MATCHES).clamp(1, MATCHES_MOST);
        Self { text: String::new(), matches: 0, files: 0, most, files_only: args.files_only, full: false, failed: 0 }
    }

    fn search(&mut self, searcher: &mut Searcher, matcher: &RegexMatcher, file: &File, shown: &str) {
        let mut sink = FileHits { hits: self, shown, found: false, broken: false };
        if searcher.search_file(matcher, file, &mut sink).is_err() {
            self.failed += 1;
        }
    }

    fn line(&mut self, shown: &str, mark: char, number: Option<u64>, bytes: &[u8]) {
        let mut line = String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\r']).to_owned();
        if line.len() > LINE_BYTES {
            line.truncate(line.floor_char_boundary(LINE_BYTES));
            line.push_str(" [...]");
        }
        self.text.push_str(&format!("{shown}{mark}{}{mark}{line}\n", number.unwrap_or(0)));
    }

    fn answer(mut self, args: &GrepArgs, place: &Place, passed: &Passed) -> ToolOutput {
        let output = self.text.clone();
        if self.matches == 0 {
            self.text = format!("nothing in `{}` fits `{}`\n", place.shown, args.pattern);
        }
        if self.full {
            self.text.push_str("[there may be more matches; narrow the pattern, the path or the glob, or raise max]\n");
        }
        if self.failed > 0 {
            self.text.push_str(&format!("[{} files could not be searched to their end]\n", self.failed));
        }
        if passed.by_rules > 0 {
            self.text.push_str(&format!("[{} files are kept out by permission rules]\n", passed.by_rules));
        }
        let counts =
            serde_json::json!({"output": output, "matches": self.matches, "files": self.files, "truncated": self.full});
        ToolOutput::text(self.text).structured(counts)
    }
}

struct FileHits<'a> {
    hits: &'a mut Hits,
    shown: &'a str,
    found: bool,
    broken: bool,
}

impl Sink for FileHits<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        if self.hits.matches >= self.hits.most || self.hits.text.len() > TOTAL_BYTES {
            self.hits.full = true;
            return Ok(false);
        }
        if !self.found {
            self.found = true;
            self.hits.files += 1;
        }
        self.hits.matches += 1;
        if self.hits.files_only {
            self.hits.text.push_str(&format!("{}\n", self.shown));
            return Ok(false);
        }
        if std::mem::take(&mut self.broken) {
            self.hits.text.push_str("--\n");
        }
        self.hits.line(self.shown, ':', found.line_number(), found.bytes());
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, line: &SinkContext<'_>) -> Result<bool, io::Error> {
        if std::mem::take(&mut self.broken) {
            self.hits.text.push_str("--\n");
        }
        if !self.hits.files_only {
            self.hits.line(self.shown, '-', line.line_number(), line.bytes());
        }
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        self.broken = !self.hits.files_only;
        Ok(true)
    }
}
