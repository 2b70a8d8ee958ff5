//! The client that the official conformance suite drives: `conformance client --command TARGET/examples/mcp_conformance_client`.
//! It does nothing but use [`Servers`] as an agent's run does; the suite's server watches how that speaks.
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "a program of its own, for tests")]

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use victor_core::error::ToolError;
use victor_core::id::{Clock, Timestamp};
use victor_core::permission::AllowAll;
use victor_core::runtime::{CallOptions, Runtime};
use victor_core::tool::ToolSource as _;
use victor_mcp::client::{
    Address, Elicitation, Elicited, Elicitor, Host, Kept, Link, OAuth, ServerConfig, Servers, Setting, TokenStore, Wire,
};

const NAME: &str = "suite";
/// How often a call is tried that wants a login with more rights.
const LOGINS: usize = 3;

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Timestamp::from_micros(i64::try_from(micros).unwrap_or_default())
    }

    fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_u128(u128::try_from(self.now().as_micros()).unwrap_or_default())
    }
}

/// Tokens for as long as the program runs.
#[derive(Default)]
struct Memory(std::sync::Mutex<Option<String>>);

impl TokenStore for Memory {
    fn load(&self, _: &str) -> Result<Option<String>, String> {
        Ok(self.0.lock().map_err(|e| e.to_string())?.clone())
    }

    fn save(&self, _: &str, secret: &str) -> Result<(), String> {
        *self.0.lock().map_err(|e| e.to_string())? = Some(secret.to_owned());
        Ok(())
    }

    fn clear(&self, _: &str) -> Result<(), String> {
        *self.0.lock().map_err(|e| e.to_string())? = None;
        Ok(())
    }
}

/// Accepts every form with its defaults, and what is required besides with something of the right type.
struct Defaults;

#[async_trait]
impl Elicitor for Defaults {
    async fn ask(&self, question: Elicitation) -> Elicited {
        let form = question.form.unwrap_or_default();
        Elicited::Accepted(Value::Object(filled(&form, |field| field.get("default").cloned())))
    }
}

fn filled(schema: &Value, value: impl Fn(&Value) -> Option<Value>) -> Map<String, Value> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let fill = |(name, field): (&String, &Value)| {
        let needed = required.contains(&name.as_str()).then(|| match field["type"].as_str() {
            Some("number" | "integer") => json!(1),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => json!("test"),
        });
        Some((name.clone(), value(field).or(needed)?))
    };
    fields.filter_map(fill).collect()
}

#[tokio::main]
async fn main() -> ExitCode {
    let url = std::env::args().nth(1).unwrap_or_default();
    let context: Value =
        std::env::var("MCP_CONFORMANCE_CONTEXT").ok().and_then(|c| serde_json::from_str(&c).ok()).unwrap_or_default();
    match tokio::time::timeout(Duration::from_secs(25), scenario(url, &context)).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("it takes too long");
            ExitCode::FAILURE
        }
    }
}

async fn scenario(url: String, context: &Value) -> Result<(), String> {
    let servers = Servers::new(vec![config(url, context)], host());
    let runtime = Runtime::builder().clock(Now).tools(Arc::new(servers.clone())).build().map_err(|e| e.to_string())?;
    let mut done = use_all(&servers, &runtime, context).await;
    for _ in 0..LOGINS {
        let Err(why) = &done else { break };
        if !why.contains("wants a login") {
            break;
        }
        log_in(&servers).await?;
        done = use_all(&servers, &runtime, context).await;
    }
    runtime.shutdown(Duration::from_secs(2)).await;
    done
}

/// Starts the server, and calls the tools that the suite names, else all of them.
async fn use_all(servers: &Servers, runtime: &Runtime, context: &Value) -> Result<(), String> {
    let report = servers.test(NAME).await.ok_or("no server")??;
    for (source, resource) in servers.resources().zip(&report.resources) {
        let _ = source.read(&resource.uri).await;
    }
    for (source, prompt) in servers.prompts().zip(&report.prompts) {
        let arguments = prompt.arguments.iter().map(|a| (a.name.clone(), "test".to_owned()));
        let _ = source.get(&prompt.name, &arguments.collect()).await;
    }
    // The stream on which an older server asks for input is opened beside the handshake.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let calls = context["toolCalls"].as_array().or(context["tool_calls"].as_array());
    if let Some(calls) = calls {
        for call in calls {
            let name = call["name"].as_str().unwrap_or_default();
            let mut arguments = call["arguments"].as_object().cloned().unwrap_or_default();
            // Arguments are held against the schema before they are sent; what is not there is left out.
            arguments.retain(|_, value| !value.is_null());
            invoke(runtime, &format!("{NAME}__{name}"), arguments).await?;
        }
        return Ok(());
    }
    let tools = servers.tools().await;
    for tool in &tools {
        let spec = tool.spec();
        let mut arguments = filled(&spec.parameters, |_| None);
        // One scenario wants to see the schema of another tool as the model is shown it.
        let shown = tools.iter().find(|t| t.spec().name.ends_with("json_schema_2020_12_tool"));
        if let (true, Some(other)) = (spec.parameters["properties"].get("schema").is_some(), shown) {
            arguments.insert("schema".to_owned(), other.spec().parameters.clone());
        }
        invoke(runtime, &spec.name, arguments).await?;
    }
    Ok(())
}

async fn invoke(runtime: &Runtime, name: &str, arguments: Map<String, Value>) -> Result<(), String> {
    let options = CallOptions { approver: Some(Arc::new(AllowAll)), ..CallOptions::default() };
    match runtime.call_tool(name, Value::Object(arguments), options).await {
        Ok(_) => Ok(()),
        Err(ToolError::Model(why)) if !why.contains("wants a login") => {
            eprintln!("{name}: {why}");
            Ok(())
        }
        Err(e) => Err(e.to_string()),
    }
}

/// What a person does in a browser: visits the address, and is sent back.
async fn log_in(servers: &Servers) -> Result<(), String> {
    let login = servers.login(NAME).await.ok_or("no server")?.map_err(|e| e.to_string())?;
    let visit = login.url().to_owned();
    let browser = async {
        let still = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let still = still.map_err(|e| e.to_string())?;
        let answer = still.get(&visit).send().await.map_err(|e| e.to_string())?;
        let target = answer.headers().get("location").and_then(|v| v.to_str().ok()).ok_or("no redirect")?;
        still.get(target).send().await.map_err(|e| e.to_string()).map(drop)
    };
    let (finished, browsed) = futures::join!(login.finish(), browser);
    browsed?;
    finished.map_err(|e| e.to_string())
}

fn config(url: String, context: &Value) -> ServerConfig {
    let text = |key: &str| context[key].as_str().map(ToOwned::to_owned);
    let oauth = OAuth {
        client_id: text("client_id"),
        client_secret: text("client_secret"),
        client_metadata_url: Some("https://conformance-test.local/client-metadata.json".to_owned()),
        scopes: Vec::new(),
    };
    let address = Address { url, wire: Wire::Auto, oauth, ..Address::default() };
    ServerConfig {
        name: NAME.to_owned(),
        place: "the command line".to_owned(),
        setting: Setting::Enabled(Link::Address(address)),
        start_timeout: Duration::from_secs(15),
        call_timeout: Duration::from_secs(15),
        tools: None,
    }
}

fn host() -> Host {
    let elicitor: OnceLock<Arc<dyn Elicitor>> = OnceLock::new();
    let _ = elicitor.set(Arc::new(Defaults));
    Host {
        clock: Arc::new(Now),
        root: std::env::temp_dir(),
        env: Vec::new(),
        client: Arc::new(|_| reqwest::Client::builder().build().map_err(|e| e.to_string())),
        catalogs: Arc::new(Kept),
        tokens: Arc::new(Memory::default()),
        elicitor: Arc::new(elicitor),
    }
}
