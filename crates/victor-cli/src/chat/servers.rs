//! MCP servers in a chat: `@server:uri` shows a resource, `/server:prompt` says a prompt.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use victor::message::{Block, Media, MediaSource, Role};
use victor::prompt::PromptSource;
use victor::resource::{Body, Contents, ResourceSource, SourceError};

use super::{Flow, Talk};
use crate::attach::{image_type, mentions};
use crate::exit::{Exit, Failure};

/// Bytes of a text at most.
const TEXT_LIMIT: usize = 512 * 1024;

impl Talk<'_> {
    /// The blocks for every `@server:uri` in a text.
    pub(super) async fn resources(&mut self, text: &str) -> Result<Vec<Block>, Failure> {
        let mut blocks = Vec::new();
        for mention in mentions(text) {
            let Some((name, uri)) = mention.split_once(':') else { continue };
            let sources = self.runtime.resources();
            let Some(source) = sources.iter().find(|s| s.name() == name).cloned() else { continue };
            let uri = uri.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'']);
            let read = read(&source, uri);
            tokio::select! {
                read = read => blocks.extend(read?),
                _ = self.signals.next() => return Err(Failure::failed("stopped before the resource was read")),
            }
        }
        Ok(blocks)
    }

    /// The source of prompts that a line means, with the prompt's name and what follows it.
    pub(super) fn prompt_of<'t>(&self, line: &'t str) -> Option<(Arc<dyn PromptSource>, &'t str, &'t str)> {
        let (word, rest) = line.strip_prefix('/')?.split_once(char::is_whitespace).unwrap_or((&line[1..], ""));
        let (server, prompt) = word.split_once(':')?;
        let source = self.runtime.prompts().iter().find(|s| s.name() == server)?;
        Some((Arc::clone(source), prompt, rest.trim()))
    }

    /// Says a prompt with its arguments filled in.
    pub(super) async fn prompt(
        &mut self,
        source: &Arc<dyn PromptSource>,
        name: &str,
        rest: &str,
        exit: &mut Exit,
    ) -> Result<Flow, Failure> {
        let filled = filled(source, name, rest);
        let blocks = tokio::select! {
            blocks = filled => blocks?,
            _ = self.signals.next() => return Ok(Flow::Stopped),
        };
        let run = self.chat.astream(blocks);
        self.follow(run, exit).await
    }
}

async fn filled(source: &Arc<dyn PromptSource>, name: &str, rest: &str) -> Result<Vec<Block>, Failure> {
    let prompts = source.list().await.map_err(failed)?;
    let Some(prompt) = prompts.iter().find(|p| p.name == name) else {
        let near = victor::error::nearest(name, prompts.iter().map(|p| p.name.as_str()));
        let hint = match near.is_empty() {
            false => format!("did you mean {}?", near.join(" or ")),
            true => format!("it has {}", prompts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ")),
        };
        return Err(Failure::usage(format!("`{}` has no prompt `{name}`; {hint}", source.name())));
    };
    let names: Vec<&str> = prompt.arguments.iter().map(|a| a.name.as_str()).collect();
    let arguments = arguments(rest, &names).map_err(Failure::usage)?;
    let missing = prompt.arguments.iter().filter(|a| a.required && !arguments.contains_key(&a.name));
    let missing: Vec<String> = missing.map(|a| format!("{}=..", a.name)).collect();
    if !missing.is_empty() {
        return Err(Failure::usage(format!("the prompt needs {}", missing.join(" "))));
    }
    let messages = source.get(name, &arguments).await.map_err(failed)?;
    let said = messages.into_iter().flat_map(|message| {
        let mark = (message.role == Role::Assistant).then(|| Block::text("You have said:"));
        mark.into_iter().chain(message.content)
    });
    Ok(said.collect())
}

async fn read(source: &Arc<dyn ResourceSource>, uri: &str) -> Result<Vec<Block>, Failure> {
    let contents = source.read(uri).await.map_err(failed)?;
    contents.into_iter().map(|c| block(source.name(), c)).collect()
}

fn block(server: &str, contents: Contents) -> Result<Block, Failure> {
    let name = format!("{server}:{}", contents.uri);
    let too_long = |bytes| Failure::failed(format!("{name} has {bytes} bytes; {TEXT_LIMIT} are the most for a text"));
    match contents.body {
        Body::Text(text) if text.len() > TEXT_LIMIT => Err(too_long(text.len())),
        Body::Text(text) => Ok(Block::text_file(&name, &text)),
        Body::Blob(bytes) => match image_type(&bytes) {
            Some(kind) => Ok(Block::Media(Media {
                media_type: kind.to_owned(),
                source: MediaSource::Base64(Arc::from(STANDARD.encode(&bytes))),
                name: Some(name),
            })),
            None => Err(Failure::failed(format!("{name} is neither a text nor an image"))),
        },
    }
}

fn failed(error: SourceError) -> Failure {
    Failure::failed(error.to_string())
}

/// `a=b c="d e"`; text without a name is the only argument of a prompt that has one.
fn arguments(text: &str, names: &[&str]) -> Result<BTreeMap<String, String>, String> {
    let mut arguments = BTreeMap::new();
    let begins = |text: &str| text.split_once('=').is_some_and(|(name, _)| names.contains(&name.trim()));
    if let ([only], false, false) = (names, text.is_empty(), begins(text)) {
        arguments.insert((*only).to_owned(), text.to_owned());
        return Ok(arguments);
    }
    let mut rest = text.trim();
    while !rest.is_empty() {
        let wrong = || format!("`{rest}`: write arguments as `name=value`, or `name=\"two words\"`");
        let (name, value) = rest.split_once('=').ok_or_else(wrong)?;
        if !names.contains(&name) {
            return Err(match names {
                [] => "the prompt takes no arguments".to_owned(),
                names => format!("the prompt has no argument `{name}`; it has {}", names.join(", ")),
            });
        }
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(wrong)?,
            None => value.split_once(char::is_whitespace).unwrap_or((value, "")),
        };
        arguments.insert(name.to_owned(), value.to_owned());
        rest = after.trim_start();
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_names_unless_there_is_only_one() {
        let read = |text, names: &[&str]| {
            let all = arguments(text, names)?;
            Ok::<_, String>(all.into_iter().map(|(n, v)| format!("{n}:{v}")).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(read("a=1 b=\"two words\" ", &["a", "b"]).unwrap(), "a:1 b:two words");
        assert_eq!(read("all of this = one", &["text"]).unwrap(), "text:all of this = one");
        assert_eq!(read("text=x", &["text"]).unwrap(), "text:x");
        assert_eq!(read("", &["text"]).unwrap(), "");
        assert!(read("c=1", &["a", "b"]).unwrap_err().contains("a, b"));
        assert!(read("loose", &["a", "b"]).unwrap_err().contains("name=value"));
        assert!(read("x", &[]).is_err());
    }
}
