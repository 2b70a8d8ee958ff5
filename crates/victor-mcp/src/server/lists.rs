//! Prompts, resources and completions: what the runtime's sources have, in the protocol's pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, GetPromptRequestParams, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams, ReadResourceResult, Reference,
};
use serde_json::Value;
use victor_core::error::nearest;
use victor_core::prompt::{Prompt, PromptSource};
use victor_core::resource::{ResourceSource, SourceError};
use victor_core::runtime::Runtime;
use victor_core::tool::Origin;

use crate::convert;

/// Completions of one answer at most; the protocol's own limit.
const COMPLETIONS: usize = 100;

/// All prompts, in one page.
pub(crate) async fn prompts(
    runtime: &Runtime,
    _: Option<PaginatedRequestParams>,
) -> Result<ListPromptsResult, ErrorData> {
    let prompts = all_prompts(runtime).await.into_iter().map(|(_, prompt)| convert::prompt(prompt));
    Ok(ListPromptsResult::with_all_items(prompts.collect()))
}

/// Every source's prompts; of two with one name the first counts. A source that fails has none.
async fn all_prompts(runtime: &Runtime) -> Vec<(&Arc<dyn PromptSource>, Prompt)> {
    let mut all: Vec<(&Arc<dyn PromptSource>, Prompt)> = Vec::new();
    for source in runtime.prompts().iter().filter(|source| source.origin() == Origin::Own) {
        match source.list().await {
            Ok(prompts) => {
                for prompt in prompts {
                    if !all.iter().any(|(_, p)| p.name == prompt.name) {
                        all.push((source, prompt));
                    }
                }
            }
            Err(error) => tracing::warn!(source = source.name(), %error, "prompts cannot be listed"),
        }
    }
    all
}

/// One prompt, filled in.
pub(crate) async fn prompt(runtime: &Runtime, request: GetPromptRequestParams) -> Result<GetPromptResult, ErrorData> {
    let all = all_prompts(runtime).await;
    let Some((source, found)) = all.iter().find(|(_, p)| p.name == request.name) else {
        let near = nearest(&request.name, all.iter().map(|(_, p)| p.name.as_str()));
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
        return Err(ErrorData::invalid_params(format!("Unknown prompt: {}{hint}", request.name), None));
    };
    let given = request.arguments.unwrap_or_default();
    let arguments: BTreeMap<String, String> = given.into_iter().map(|(name, value)| (name, text(value))).collect();
    let messages = source.get(&request.name, &arguments).await.map_err(|e| match e {
        SourceError::NotFound(why) => ErrorData::invalid_params(why, None),
        other => convert::source_error(other),
    })?;
    let result = GetPromptResult::new(convert::messages(&messages));
    Ok(match &found.description {
        Some(text) => result.with_description(text.clone()),
        None => result,
    })
}

/// Arguments of prompts are texts; a client that sends another value means its text.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A page of the resources. A cursor is the source's place and the source's own cursor.
pub(crate) async fn resources(
    runtime: &Runtime,
    request: Option<PaginatedRequestParams>,
) -> Result<ListResourcesResult, ErrorData> {
    let cursor = request.and_then(|r| r.cursor);
    let (mut at, mut inner) = place(cursor.as_deref())?;
    let sources = own(runtime);
    while let Some(source) = sources.get(at) {
        let page = source.list(inner.as_deref()).await.map_err(convert::source_error)?;
        let next = match page.next {
            Some(next) => Some(format!("{at}:{next}")),
            None if at + 1 < sources.len() => Some(format!("{}:", at + 1)),
            None => None,
        };
        if page.items.is_empty() && next.is_some() {
            (at, inner) = place(next.as_deref())?;
            continue;
        }
        let items = page.items.into_iter().map(convert::resource).collect();
        let mut result = ListResourcesResult::with_all_items(items);
        result.next_cursor = next;
        return Ok(result);
    }
    Ok(ListResourcesResult::with_all_items(Vec::new()))
}

fn place(cursor: Option<&str>) -> Result<(usize, Option<String>), ErrorData> {
    let Some(cursor) = cursor else { return Ok((0, None)) };
    let parsed = cursor.split_once(':').and_then(|(at, inner)| Some((at.parse().ok()?, inner)));
    let (at, inner) = parsed.ok_or_else(|| ErrorData::invalid_params("the cursor is not one of this server", None))?;
    Ok((at, (!inner.is_empty()).then(|| inner.to_owned())))
}

/// The sources of resources that are no other server's.
fn own(runtime: &Runtime) -> Vec<&Arc<dyn ResourceSource>> {
    runtime.resources().iter().filter(|source| source.origin() == Origin::Own).collect()
}

/// All families of resources.
pub(crate) async fn templates(runtime: &Runtime) -> Result<ListResourceTemplatesResult, ErrorData> {
    let mut all = Vec::new();
    for source in own(runtime) {
        all.extend(source.templates().await.map_err(convert::source_error)?.into_iter().map(convert::template));
    }
    Ok(ListResourceTemplatesResult::with_all_items(all))
}

/// What a URI stands for.
pub(crate) async fn read(runtime: &Runtime, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let read = source(runtime, uri)?.read(uri).await.map_err(|e| at(e, uri))?;
    Ok(ReadResourceResult::new(read.into_iter().map(convert::contents).collect()))
}

/// The source that a URI belongs to.
pub(crate) fn source<'a>(runtime: &'a Runtime, uri: &str) -> Result<&'a Arc<dyn ResourceSource>, ErrorData> {
    let found = own(runtime).into_iter().find(|source| source.owns(uri));
    found.ok_or_else(|| at(SourceError::NotFound(format!("Resource not found: {uri}")), uri))
}

/// Why a resource cannot be had, with its URI.
pub(crate) fn at(error: SourceError, uri: &str) -> ErrorData {
    let mut error = convert::source_error(error);
    error.data = Some(serde_json::json!({"uri": uri}));
    error
}

/// What could stand for an argument.
pub(crate) async fn complete(runtime: &Runtime, request: CompleteRequestParams) -> Result<CompleteResult, ErrorData> {
    let (argument, typed) = (request.argument.name.as_str(), request.argument.value.as_str());
    let mut found = Vec::new();
    match &request.r#ref {
        Reference::Prompt(prompt) => {
            for (source, known) in all_prompts(runtime).await {
                if known.name == prompt.name {
                    found.extend(source.complete(&prompt.name, argument, typed).await);
                }
            }
        }
        Reference::Resource(template) => {
            for source in own(runtime) {
                if source.templates().await.is_ok_and(|all| all.iter().any(|t| t.uri_template == template.uri)) {
                    found.extend(source.complete(&template.uri, argument, typed).await);
                }
            }
        }
        _ => {}
    }
    let total = u32::try_from(found.len()).ok();
    let more = found.len() > COMPLETIONS;
    found.truncate(COMPLETIONS);
    let info = CompletionInfo::with_pagination(found, total, more);
    Ok(CompleteResult::new(info.map_err(|e| ErrorData::internal_error(e, None))?))
}
