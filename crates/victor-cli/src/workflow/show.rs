//! Workflows as they stand in files: listed, shown, drawn and checked.

use std::path::PathBuf;

use serde_json::{Value, json};
use victor::workflow::yaml::{Document, Mistake};
use victor::workflow::{Drawing, Registered, WorkflowError, WorkflowRegistry};

use super::{find, folders};
use crate::app::App;
use crate::args::{Format, GraphFormat, WhichWorkflow};
use crate::exit::{Exit, Failure};
use crate::render::table::table;
use crate::terminal::{Terminal, harmless, harmless_line, json, line, note};

pub(super) fn list(app: &App, format: Format) -> Result<Exit, Failure> {
    let listing = WorkflowRegistry::with_source(folders(app)?).list();
    if format.json {
        let all: Vec<Value> = listing.workflows.iter().map(about).collect();
        let broken: Vec<Value> = listing.broken.iter().flat_map(|m| &m.0).map(mistake).collect();
        json(&json!({ "workflows": all, "broken": broken }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 3]> = listing
        .workflows
        .iter()
        .map(|r| {
            let about = harmless_line(r.workflow.description());
            [harmless_line(r.workflow.name()), harmless_line(&r.source), about]
        })
        .collect();
    let width = app.terminal.stdout.then(Terminal::width);
    table(["workflow", "from", "about"], &rows, width).iter().try_for_each(line)?;
    listing.notices.iter().for_each(|notice| note(harmless(notice)));
    for mistake in listing.broken.iter().flat_map(|m| &m.0) {
        note(format!("cannot be run: {}", harmless(&mistake.to_string())));
    }
    Ok(Exit::Done)
}

pub(super) fn show(app: &App, which: &WhichWorkflow, format: Format) -> Result<Exit, Failure> {
    let registry = WorkflowRegistry::with_source(folders(app)?);
    let (found, _) = find(app, &registry, which)?;
    if format.json {
        json(&whole(&found))?;
        return Ok(Exit::Done);
    }
    line(format!("{}: {}", harmless_line(found.workflow.name()), harmless_line(found.workflow.description())))?;
    line(format!("from {}", harmless_line(&found.source)))?;
    for (name, kind) in inputs(&found) {
        line(format!("input {name}: {kind}"))?;
    }
    let rows: Vec<[String; 3]> = found
        .workflow
        .nodes()
        .map(|n| [harmless_line(n.name), n.kind.clone(), harmless_line(&[n.edges, n.branches].concat().join(", "))])
        .collect();
    table(["node", "kind", "leads to"], &rows, app.terminal.stdout.then(Terminal::width)).iter().try_for_each(line)?;
    Ok(Exit::Done)
}

fn inputs(found: &Registered) -> Vec<(String, String)> {
    let schema = found.inputs.as_ref();
    let required: Vec<&str> =
        schema.and_then(|s| s["required"].as_array()).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.and_then(|s| s["properties"].as_object()).into_iter().flatten();
    let told = |(name, about): (&String, &Value)| {
        let mut words = vec![about["type"].as_str().unwrap_or("any").to_owned()];
        words.extend(required.contains(&name.as_str()).then(|| "required".to_owned()));
        words.extend(about.get("default").map(|d| format!("default {d}")));
        words.extend(about["description"].as_str().map(harmless_line));
        (harmless_line(name), words.join(", "))
    };
    properties.map(told).collect()
}

pub(super) fn graph(app: &App, which: &WhichWorkflow, format: GraphFormat, as_json: bool) -> Result<Exit, Failure> {
    let folders = folders(app)?;
    let registry = WorkflowRegistry::with_source(std::sync::Arc::clone(&folders) as _);
    let (found, file) = find(app, &registry, which)?;
    if as_json {
        json(&whole(&found))?;
        return Ok(Exit::Done);
    }
    let name = found.workflow.name();
    let document: Option<Document> = match file {
        Some(path) => folders.check(&path).ok(),
        None => folders.document(name),
    };
    // The file says more than the graph: the names of the branches.
    let drawing = match document.as_ref().and_then(|d| d.workflow(name)) {
        Some(workflow) => Drawing::from(workflow),
        None => Drawing::from(&found.workflow),
    };
    let drawn = match format {
        GraphFormat::Text => drawing.text(),
        GraphFormat::Mermaid => drawing.mermaid(),
        GraphFormat::Dot => drawing.dot(),
    };
    line(harmless(drawn.trim_end()))?;
    Ok(Exit::Done)
}

pub(super) async fn validate(app: &App, files: &[PathBuf], format: Format) -> Result<Exit, Failure> {
    let folders = folders(app)?;
    let tools: Vec<String> = app.runtime()?.tool_set().await.specs().iter().map(|t| t.name.clone()).collect();
    let mut told = Vec::new();
    let mut wrong = false;
    for file in files {
        let path = app.env.current_dir().join(file);
        let shown = file.display().to_string();
        let path = path.canonicalize().unwrap_or(path).display().to_string();
        match folders.validate(&path, &shown, &tools) {
            Ok(document) => {
                let names: Vec<&str> = document.workflows.iter().map(|w| w.name.as_str()).collect();
                if !format.json {
                    document.warnings.iter().for_each(|w| note(format!("warning: {}", harmless(&w.to_string()))));
                    line(format!("{shown}: correct ({})", harmless_line(&names.join(", "))))?;
                }
                let warnings: Vec<Value> = document.warnings.iter().map(mistake).collect();
                told.push(
                    json!({"file": shown, "valid": true, "workflows": names, "mistakes": [], "warnings": warnings}),
                );
            }
            Err(e) => {
                wrong = true;
                let mistakes: Vec<Value> = match &e {
                    WorkflowError::File(mistakes) => mistakes.0.iter().map(mistake).collect(),
                    e => vec![json!({"file": shown, "line": 0, "column": 0, "message": e.to_string()})],
                };
                if !format.json {
                    note(harmless(&e.to_string()));
                }
                told.push(json!({"file": shown, "valid": false, "mistakes": mistakes}));
            }
        }
    }
    if format.json {
        json(&json!({ "files": told }))?;
    }
    Ok(if wrong { Exit::Configuration } else { Exit::Done })
}

fn mistake(mistake: &Mistake) -> Value {
    let Mistake { file, line, column, message, .. } = mistake;
    json!({"file": file, "line": line, "column": column, "message": message})
}

fn about(found: &Registered) -> Value {
    json!({
        "name": found.workflow.name(), "description": found.workflow.description(), "source": found.source,
        "inputs": found.inputs,
    })
}

fn whole(found: &Registered) -> Value {
    let nodes: Vec<Value> = found
        .workflow
        .nodes()
        .map(|n| {
            json!({
                "name": n.name, "kind": n.kind, "edges": n.edges, "branches": n.branches, "error_to": n.error_to,
            })
        })
        .collect();
    let mut about = about(found);
    about["entries"] = json!(found.workflow.entries().collect::<Vec<_>>());
    about["nodes"] = json!(nodes);
    about
}
