//! Trial with the real model (scratch).
#![allow(clippy::unwrap_used, missing_docs)]
use std::sync::Arc;
use futures::StreamExt;
use victor_core::error::ProviderError;
use victor_core::message::Message;
use victor_core::provider::{Chunk, ModelInfo, Provider};
use victor_core::request::*;
use victor_core::tool::ToolSpec;
use victor_core::tool::Effects;
use victor_local::*;

struct Fixed(Installed);
#[async_trait::async_trait]
impl Resolver for Fixed {
    async fn resolve(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> { Ok(self.0.clone()) }
    fn models(&self) -> Vec<ModelInfo> { vec![] }
}
fn request(text: &str, tools: Vec<Arc<ToolSpec>>, tool_choice: ToolChoice) -> Request {
    Request { model: "smol".into(), system: "".into(), messages: Arc::new(vec![Arc::new(Message::user(text))]), tools: tools.into(), tool_choice, params: Params { max_tokens: Some(120), ..Params::default() }, output_schema: None }
}
async fn show(p: &LocalProvider, r: &Request) {
    let cx = CallCx { cancel: Default::default(), idle_timeout: std::time::Duration::from_secs(9) };
    let t = std::time::Instant::now();
    let mut s = p.stream(r, &cx).await.unwrap();
    let mut first = None;
    while let Some(c) = s.next().await {
        match c {
            Ok(Chunk::Text { delta, .. }) => { first.get_or_insert(t.elapsed()); print!("{delta}") }
            Ok(c) => println!("{c:?}"),
            Err(e) => println!("ERROR {e}"),
        }
    }
    println!("-- first {first:?} all {:?}", t.elapsed());
}
#[tokio::test(flavor = "multi_thread")]
async fn trial() {
    let p = LocalProvider::new(Arc::new(Fixed(Installed::new("smol", "/work/wt/models/smol-q8.gguf"))));
    show(&p, &request("What is the capital of France?", vec![], ToolChoice::Auto)).await;
    show(&p, &request("What is the capital of Germany?", vec![], ToolChoice::Auto)).await;
    let tool = |name: &str, d: &str, schema| Arc::new(ToolSpec::new(name, d, "test", schema, Effects::NONE));
    let tools = vec![
        tool("get_weather", "Tells the weather of a city.", serde_json::json!({"type":"object","properties":{"city":{"type":"string","maxLength":40}},"required":["city"],"additionalProperties":false})),
        tool("read_file", "Reads a file.", serde_json::json!({"type":"object","properties":{"path":{"type":"string","maxLength":60},"limit":{"type":["integer","null"],"minimum":0,"format":"uint32"}},"required":["path"]})),
    ];
    show(&p, &request("What is the weather in Paris?", tools.clone(), ToolChoice::Required)).await;
    show(&p, &request("What is the weather in Paris?", tools, ToolChoice::Auto)).await;
}
