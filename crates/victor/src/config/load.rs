//! Loading: the layers are read, narrowed where the folder is not trusted, and merged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use victor_core::error::{ConfigurationError, nearest};
use victor_core::permission::{Mode, Rule, RuleEffect};
use victor_core::sandbox::SandboxMode;
use victor_tools::BuiltinTools;

use super::document::{self, Document, LIMIT};
use super::environment;
use super::keys::{self, Path};
use super::layers::{self, Layer, Merged, Origin};
use super::mistakes;
use super::narrow::{clamp, narrow};
use super::schedules;
use super::schema::{Config, Limits, Permissions};
use crate::env::Env;
use crate::home::Home;
use crate::platform::{self, Content, Links};
use crate::trust::{ProjectFiles, TrustState};

/// What flags say; the topmost layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// `--provider`: a provider, or `provider/model`.
    pub provider: Option<String>,
    /// `--model`.
    pub model: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--mode`.
    pub mode: Option<Mode>,
    /// `--sandbox`.
    pub sandbox: Option<SandboxMode>,
    /// `--max-turns`.
    pub max_turns: Option<u32>,
    /// `--max-cost`, in US dollars.
    pub max_cost: Option<f64>,
    /// `--allow`: rules.
    pub allow: Vec<String>,
    /// `--temperature`.
    pub temperature: Option<f64>,
    /// `--max-tokens`, of an answer.
    pub max_tokens: Option<u32>,
    /// `--tools`: names and globs.
    pub tools: Option<Vec<String>>,
}

/// The configuration that holds for one call.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// All layers together.
    pub config: Config,
    /// Where each value comes from.
    pub origins: Vec<Origin>,
    /// The permission rules, each with where it stands.
    pub rules: Vec<Rule>,
    /// Lines for the user: what was ignored, and what looks like a mistake.
    pub notices: Vec<String>,
}

/// The folder's own files and whether they count.
pub(crate) struct Project<'a> {
    pub(crate) root: PathBuf,
    pub(crate) files: &'a ProjectFiles,
    pub(crate) trust: TrustState,
}

/// Reads and merges all layers.
pub(crate) fn load(
    home: &Home,
    env: &Env,
    project: &Project<'_>,
    flags: &Flags,
) -> Result<Settings, ConfigurationError> {
    let (user, found) = mistakes::both(user_layer(home), project_document(project))?;
    let trusted = project.trust.is_trusted();
    let mut existing = vec![user.clone()];
    if trusted {
        existing.extend(found.clone().map(|(name, document)| layer(name, &document)));
    }
    let existing = document::to_json(&layers::merge(&existing)?.config);
    let (variables, mut notices) = env_layer(env, &existing)?;
    let mut narrowed = Config::default();
    let own = match found {
        None => None,
        Some((name, document)) if trusted => Some(layer(name, &document)),
        Some((name, mut document)) => {
            let base = layers::merge(&[user.clone(), variables.clone()])?.config;
            let (config, ignored) = narrow(document.config, &base);
            notices.extend(ignored_line(project, &ignored));
            narrowed = config.clone();
            document.config = config;
            Some(layer(name, &document))
        }
    };
    if !trusted && own.is_none() {
        notices.extend(ignored_line(project, &[]));
    }
    // What narrows comes after what it narrows: a variable widens it no more than the user's file does.
    let (before, after) = if trusted { (own, None) } else { (None, own) };
    let layers = [Some(user), before, Some(variables), after, Some(flag_layer(flags))];
    let all: Vec<Layer> = layers.into_iter().flatten().collect();
    let Merged { mut config, origins } = layers::merge(&all)?;
    let incomplete = schedules::check_whole(&config).into_iter().map(|(path, why)| {
        let place = all.iter().rev().find_map(|layer| layer.places.get(&path));
        place.map_or_else(|| why.clone(), |place| format!("{place}: {why}"))
    });
    let ((), rules) = mistakes::both(mistakes::none_of(incomplete.collect()), rules(&origins, env))?;
    config.profile = config.profile.filter(|name| !name.trim().is_empty());
    clamp(&mut config.profiles, &narrowed);
    notices.extend(rules.iter().filter_map(stranger));
    Ok(Settings { config, origins, rules, notices })
}

/// The value of a key in the user's own file.
pub(crate) fn own_value(home: &Home, path: &Path) -> Result<Option<Value>, ConfigurationError> {
    Ok(keys::at(&user_layer(home)?.value, path).cloned())
}

fn user_layer(home: &Home) -> Result<Layer, ConfigurationError> {
    let path = home.config();
    let name = path.display().to_string();
    let fail = |why: String| ConfigurationError::new(format!("{name}: {why}"));
    let text = match platform::read_limited(&path, LIMIT, Links::Follow) {
        Ok(Content::Missing) => return Ok(layer(name, &Document::default())),
        Ok(Content::Bytes(bytes)) => String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?,
        Ok(Content::TooLong(_)) => return Err(fail(format!("it is longer than {LIMIT} bytes"))),
        Err(e) => return Err(fail(format!("it cannot be read: {e}"))),
    };
    let document = document::parse(&name, &text)?;
    Ok(layer(name, &document))
}

fn project_document(project: &Project<'_>) -> Result<Option<(String, Document)>, ConfigurationError> {
    let path = ".victor/config.yaml";
    let Some(text) = project.files.text(path)? else { return Ok(None) };
    let name = project.root.join(path).display().to_string();
    let document = document::parse(&name, text)?;
    Ok(Some((name, document)))
}

fn layer(name: String, document: &Document) -> Layer {
    let places = document.lines.iter().map(|(path, line)| (path.clone(), format!("{name}:{line}")));
    Layer { places: places.collect(), value: document::to_json(&document.config), name }
}

/// The variables; `VICTOR_PROFILE`, `VICTOR_LOG_LEVEL` and `VICTOR_ALLOW` set keys under names of their own.
fn env_layer(env: &Env, existing: &Value) -> Result<(Layer, Vec<String>), ConfigurationError> {
    let (mut settings, notices) = environment::settings(env, existing)?;
    for (variable, key) in [("VICTOR_PROFILE", "profile"), ("VICTOR_LOG_LEVEL", "log.level")] {
        let Some(text) = env.var(variable) else { continue };
        let path = keys::split(key)?;
        let text = if key == "log.level" { text.to_lowercase() } else { text.to_owned() };
        let value = keys::value(&path, &text)
            .map_err(|e| ConfigurationError::new(format!("environment variable {variable}: {e}")))?;
        settings.push(environment::Setting { variable: variable.to_owned(), path, value });
    }
    let (mut value, mut places) = (Value::Object(serde_json::Map::new()), BTreeMap::new());
    for setting in settings {
        keys::put(&mut value, &setting.path, setting.value);
        places.insert(setting.path, setting.variable);
    }
    let rules = env.var("VICTOR_ALLOW").map(allow_rules).transpose()?.unwrap_or_default();
    add_rules(&mut value, &mut places, &rules, "VICTOR_ALLOW");
    Ok((Layer { name: "environment".to_owned(), value, places }, notices))
}

/// One rule, one on each line, or a list in brackets.
fn allow_rules(text: &str) -> Result<Vec<String>, ConfigurationError> {
    if text.trim_start().starts_with('[') {
        return document::strict("environment variable VICTOR_ALLOW", text);
    }
    Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(ToOwned::to_owned).collect())
}

fn add_rules(value: &mut Value, places: &mut BTreeMap<Path, String>, rules: &[String], origin: &str) {
    if rules.is_empty() {
        return;
    }
    let path = ["permissions".to_owned(), "allow".to_owned()];
    let mut all = keys::at(value, &path).and_then(Value::as_array).cloned().unwrap_or_default();
    for rule in rules {
        places.insert([&path[..], &[all.len().to_string()]].concat(), origin.to_owned());
        all.push(Value::from(rule.as_str()));
    }
    keys::put(value, &path, Value::Array(all));
}

fn flag_layer(flags: &Flags) -> Layer {
    let config = Config {
        provider: flags.provider.clone(),
        model: flags.model.clone(),
        profile: flags.profile.clone(),
        mode: flags.mode,
        sandbox: flags.sandbox,
        limits: Limits { max_turns: flags.max_turns, max_cost: flags.max_cost, ..Limits::default() },
        permissions: Permissions { allow: flags.allow.clone(), ..Permissions::default() },
        ..Config::default()
    };
    let names = [
        ("provider", "--provider"),
        ("model", "--model"),
        ("profile", "--profile"),
        ("mode", "--mode"),
        ("sandbox", "--sandbox"),
        ("limits.max_turns", "--max-turns"),
        ("limits.max_cost", "--max-cost"),
        ("permissions.allow", "--allow"),
    ];
    let path = |key: &str| key.split('.').map(ToOwned::to_owned).collect::<Path>();
    Layer {
        name: "flag".to_owned(),
        value: document::to_json(&config),
        places: names.into_iter().map(|(key, flag)| (path(key), flag.to_owned())).collect(),
    }
}

/// The one line that tells what an untrusted folder wanted.
fn ignored_line(project: &Project<'_>, keys: &[String]) -> Option<String> {
    let mut ignored = Vec::new();
    if !keys.is_empty() {
        let keys: Vec<_> = keys.iter().map(|k| format!("`{k}`")).collect();
        ignored.push(format!("{} of .victor/config.yaml", keys.join(", ")));
    }
    ignored.extend(project.files.present().filter(|p| *p != ".victor/config.yaml").map(ToOwned::to_owned));
    (!ignored.is_empty()).then(|| {
        format!("{}, so ignored: {}; `victor workspace trust` lets them count", project.trust, ignored.join(", "))
    })
}

fn rules(origins: &[Origin], env: &Env) -> Result<Vec<Rule>, ConfigurationError> {
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for origin in origins {
        let [first, effect, _] = origin.path.as_slice() else { continue };
        let effect = match (first.as_str(), effect.as_str()) {
            ("permissions", "allow") => RuleEffect::Allow,
            ("permissions", "ask") => RuleEffect::Ask,
            ("permissions", "deny") => RuleEffect::Deny,
            _ => continue,
        };
        match rule(effect, origin, env) {
            Ok(rule) => rules.push(rule),
            Err(why) => wrong.push(format!("{}: {why}", origin.origin)),
        }
    }
    mistakes::none_of(wrong).map(|()| rules)
}

fn rule(effect: RuleEffect, origin: &Origin, env: &Env) -> Result<Rule, String> {
    let text = origin.value.as_str().unwrap_or_default();
    let rule = Rule::parse(effect, text, origin.origin.as_str()).map_err(|e| e.to_string())?;
    if let Some(why) = rule.broken_glob().filter(|_| names_file_tool(&rule)) {
        return Err(format!("`{text}` is not a permission rule for paths ({why}); `\\[` stands for a bracket"));
    }
    if !rule.is_below_home() {
        return Ok(rule);
    }
    let home = env.path("HOME").ok_or_else(|| format!("`{text}` needs HOME, which is not set"))?;
    rule.at_home(&home.canonicalize().unwrap_or(home)).map_err(|e| e.to_string())
}

/// Whether it may be meant for paths; the patterns of commands are no globs.
fn names_file_tool(rule: &Rule) -> bool {
    BuiltinTools::names().iter().any(|name| *name != "bash" && rule.names_tool(name))
}

/// A rule for no tool that there is protects nothing, or opens nothing: most likely its name is misspelt. Tools of
/// servers (`server__tool`) are not known yet.
fn stranger(rule: &Rule) -> Option<String> {
    let names = BuiltinTools::names();
    if rule.tool().contains("__") || names.iter().any(|name| rule.names_tool(name)) {
        return None;
    }
    let near = match nearest(rule.tool(), names) {
        near if near.is_empty() => format!("there are {}", names.join(", ")),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    Some(format!("{}: the rule `{}` is for no tool that there is; {near}", rule.source(), rule.text()))
}
