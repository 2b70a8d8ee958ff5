//! A server's tool as the engine sees it: judged like every other, whatever the server says of it.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use rmcp::model::Tool;
use serde_json::Value;
use victor_core::error::ToolError;
use victor_core::tool::{DynTool, Effects, Plan, Preview, ToolCx, ToolOutput, ToolSpec};

use super::catalog::Catalog;
use super::config::{Link, ServerConfig};
use super::content::{cut, output};
use super::schema;
use super::server::Server;

/// Bytes of arguments that a person is shown.
const SHOWN: usize = 2 << 10;

struct ServerTool {
    // Weak: the server holds its tools.
    server: Weak<Server>,
    spec: Arc<ToolSpec>,
    /// The server's own name for it.
    own: String,
    output: Option<schema::Output>,
}

/// The tools that a server offers, and what is left out and why.
pub(super) fn tools(
    server: &Weak<Server>,
    config: &ServerConfig,
    link: &Link,
    catalog: &Catalog,
) -> (Vec<Arc<dyn DynTool>>, Vec<String>) {
    let (offers, mut problems) = catalog.offers(&config.name, config.tools.as_deref());
    let mut tools: Vec<Arc<dyn DynTool>> = Vec::new();
    for offer in offers {
        match tool(server, config, link, offer.name, &offer.tool) {
            Ok(tool) => tools.push(Arc::new(tool)),
            Err(why) => problems.push(format!("the tool `{}` is left out: {why}", offer.tool.name)),
        }
    }
    (tools, problems)
}

fn tool(
    server: &Weak<Server>,
    config: &ServerConfig,
    link: &Link,
    name: String,
    tool: &Tool,
) -> Result<ServerTool, String> {
    let parameters = schema::parameters(&tool.input_schema)?;
    let output = tool.output_schema.as_ref().map(|s| schema::output(s)).transpose()?.flatten();
    let title = tool.title.as_deref().or_else(|| tool.annotations.as_ref()?.title.as_deref());
    let about = tool.description.as_deref().or(title).unwrap_or("(its server says nothing about it)");
    let spec = ToolSpec::new(name, about, format!("mcp:{}", config.name), parameters, effects(link, tool));
    Ok(ServerTool { server: Weak::clone(server), spec: Arc::new(spec), own: tool.name.to_string(), output })
}

/// A server can do whatever its program can, and its word does not change that. A hint that a tool only reads opens the
/// modes that run programs and write nothing; it is asked about there too.
fn effects(link: &Link, tool: &Tool) -> Effects {
    let reach = match link {
        Link::Program(_) => Effects::EXECUTE | Effects::NETWORK,
        Link::Address(_) => Effects::NETWORK,
    };
    let reads = tool.annotations.as_ref().and_then(|a| a.read_only_hint).unwrap_or(false);
    if reads { reach | Effects::READ } else { reach | Effects::READ | Effects::WRITE }
}

#[async_trait]
impl DynTool for ServerTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        let Value::Object(arguments) = args else { return Err(ToolError::model("the arguments are no object")) };
        let server = self.server.upgrade().ok_or_else(|| ToolError::model("its server is gone"))?;
        let own = self.own.clone();
        let pretty = serde_json::to_string_pretty(&arguments).unwrap_or_default();
        let text = format!("{own} of the MCP server {}\n{}", server.config().name, cut(&pretty, SHOWN));
        // The schema's own words on what it gives are held against what it gives.
        let this = Weak::clone(&self.server);
        let fits = self.output.clone();
        let plan = Plan::new(self.spec.effects, move |_permit, cx: ToolCx| async move {
            let server = this.upgrade().ok_or_else(|| ToolError::model("its server is gone"))?;
            let mut result = output(&server.config().name, server.call(&own, arguments, &cx).await?);
            check(&mut result, fits.as_ref(), &own);
            Ok(result)
        });
        Ok(plan.preview(Preview::Text { text }))
    }
}

/// What does not fit the schema that the server itself gave is shown to the model as text alone.
fn check(result: &mut ToolOutput, schema: Option<&schema::Output>, tool: &str) {
    let (Some(schema), Some(value), false) = (schema, &result.structured, result.is_error) else { return };
    if let Err(wrong) = schema.check(value) {
        tracing::warn!(tool, "its structured result does not fit its own schema: {wrong}");
        result.structured = None;
    }
}
