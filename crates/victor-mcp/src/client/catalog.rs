//! What a server has: its tools and what it is, as far as it is kept between runs.

use std::collections::BTreeSet;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use rmcp::model::{PaginatedRequestParams, Prompt, Resource, Tool};
use rmcp::{Peer, RoleClient, ServiceError};
use serde::{Deserialize, Serialize};

use super::name;

/// The form of what is kept; another one is not read.
const FORM: u32 = 1;
/// Tools of one server at most.
const TOOLS: usize = 1_000;
/// Prompts and resources of one server that are kept at most.
const KEPT: usize = 200;
/// How long they may take to be told; a server need not tell them to be used.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pages of a list at most.
const PAGES: usize = 100;
/// Bytes of a description at most.
pub(super) const ABOUT: usize = 8 << 10;
/// Bytes of all tools of a server at most, as JSON.
const BYTES: usize = 4 << 20;

/// What a server has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Catalog {
    form: u32,
    /// Its own name and version.
    pub(super) server: Option<String>,
    /// The revision of the protocol.
    pub(super) protocol: String,
    /// Whether it only knows revisions that begin with `initialize`.
    pub(super) legacy: bool,
    /// Whether it is spoken to over the older HTTP transport.
    pub(super) sse: bool,
    /// What it says of itself.
    pub(super) instructions: Option<String>,
    pub(super) has_prompts: bool,
    pub(super) has_resources: bool,
    /// Its tools, as it tells them.
    pub(super) tools: Vec<Tool>,
    /// Its prompts, and the first of its resources, for completion.
    #[serde(default)]
    pub(super) prompts: Vec<Prompt>,
    #[serde(default)]
    pub(super) resources: Vec<Resource>,
    /// Why it could not be used the last time, where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

/// A tool that is offered, under its name here.
pub(super) struct Offer {
    pub(super) name: String,
    pub(super) tool: Tool,
}

impl Catalog {
    pub(super) fn new() -> Self {
        Self { form: FORM, ..Self::default() }
    }

    /// Nothing but that it begins with `initialize`.
    pub(super) fn legacy() -> Self {
        Self { legacy: true, ..Self::new() }
    }

    /// What was kept.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|c: &Self| c.form == FORM)
    }

    /// To be kept.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether it says what tools there are.
    pub(super) fn is_known(&self) -> bool {
        !self.protocol.is_empty()
    }

    /// The tools under the names that the model calls them by, with what had to be changed or left out.
    pub(super) fn offers(&self, server: &str, wanted: Option<&[String]>) -> (Vec<Offer>, Vec<String>) {
        let part = name::part(server);
        let (mut offers, mut problems, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut told = BTreeSet::new();
        let wanted = wanted.map(|globs| wanted_tools(globs, &mut problems));
        for tool in &self.tools {
            if wanted.as_ref().is_some_and(|w| !w.is_match(tool.name.as_ref())) {
                continue;
            }
            if !told.insert(&tool.name) {
                problems.push(format!("the tool `{}` is told twice; the first counts", tool.name));
                continue;
            }
            let plain = name::tool(&part, &tool.name, &BTreeSet::new());
            let name = name::tool(&part, &tool.name, &taken);
            if name != plain {
                problems.push(format!("`{}` is offered as `{name}`, as `{plain}` is another tool", tool.name));
            }
            taken.insert(name.clone());
            offers.push(Offer { name, tool: tool.clone() });
        }
        (offers, problems)
    }
}

fn wanted_tools(globs: &[String], problems: &mut Vec<String>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        match Glob::new(glob) {
            Ok(glob) => drop(set.add(glob)),
            Err(e) => problems.push(format!("`tools`: `{glob}` is no pattern: {e}")),
        }
    }
    set.build().unwrap_or_default()
}

/// All tools of a server, with what was cut.
pub(super) async fn list_tools(peer: &Peer<RoleClient>) -> Result<(Vec<Tool>, Vec<String>), ServiceError> {
    let (mut tools, mut cursor, mut problems, mut left) = (Vec::new(), None, Vec::new(), BYTES);
    for _ in 0..PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor.take());
        let page = peer.list_tools(Some(params)).await?;
        let told = page.tools.len();
        let fitting = page.tools.into_iter().map(short).take_while(|tool| fits(tool, &mut left));
        let before = tools.len();
        tools.extend(fitting);
        let all_fit = tools.len() - before == told;
        cursor = page.next_cursor;
        if !all_fit {
            problems.push(format!("its list of tools has more than {BYTES} bytes; the rest is left out"));
            return Ok((tools, problems));
        }
        if cursor.is_none() || tools.len() > TOOLS {
            break;
        }
    }
    if cursor.is_some() || tools.len() > TOOLS {
        problems.push(format!("it tells of more than {TOOLS} tools or {PAGES} pages; the rest is left out"));
        tools.truncate(TOOLS);
    }
    Ok((tools, problems))
}

/// The tool with a bearable description. A schema that is too large stays, so that somebody can be told.
fn short(mut tool: Tool) -> Tool {
    if let Some(about) = &mut tool.description
        && about.len() > ABOUT
    {
        *about = super::content::cut(about, ABOUT).into();
    }
    if let Some(title) = &mut tool.title
        && title.len() > ABOUT
    {
        *title = super::content::cut(title, ABOUT);
    }
    tool
}

/// Whether there is room for the tool; takes it.
fn fits(tool: &Tool, left: &mut usize) -> bool {
    let size = serde_json::to_vec(tool).map_or(usize::MAX, |bytes| bytes.len());
    let rest = left.checked_sub(size);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

/// The prompts of a server, as far as it tells them at once.
pub(super) async fn prompts(peer: &Peer<RoleClient>) -> Vec<Prompt> {
    let asked = tokio::time::timeout(PATIENCE, peer.list_prompts(None)).await;
    let mut prompts = asked.ok().and_then(Result::ok).map(|page| page.prompts).unwrap_or_default();
    prompts.truncate(KEPT);
    prompts
}

/// The first resources of a server, as far as it tells them at once.
pub(super) async fn resources(peer: &Peer<RoleClient>) -> Vec<Resource> {
    let asked = tokio::time::timeout(PATIENCE, peer.list_resources(None)).await;
    let mut resources = asked.ok().and_then(Result::ok).map(|page| page.resources).unwrap_or_default();
    resources.truncate(KEPT);
    resources
}
