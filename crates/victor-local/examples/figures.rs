//! Measures the engine on a model's file: `cargo run --release -p victor-local --example figures -- FILE.gguf`.
//! Prints load time, memory, and tokens per second of processor time for prompts and answers.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a developer's tool")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use victor_core::error::ProviderError;
use victor_core::message::Message;
use victor_core::provider::{Chunk, ModelInfo, Provider};
use victor_core::request::{CallCx, Params, Request, ToolChoice};
use victor_core::usage::Usage;
use victor_local::{Installed, LocalProvider, Resolver};

/// One file, whatever the name.
struct One(Installed);

#[async_trait]
impl Resolver for One {
    async fn resolve(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        Ok(self.0.clone())
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("name a GGUF file")?;
    let provider = LocalProvider::new(Arc::new(One(Installed::new("model", file))));
    let load = measure(&provider, "Hi", 1).await?;
    println!("load and one token: {:.2} s, {:.2} s of processor time", load.wall, load.cpu);
    let words = "The quick brown fox jumps over the lazy dog while seven wizards watch. ".repeat(24);
    let prompt = measure(&provider, &format!("{words} Which animals?"), 1).await?;
    let read = prompt.usage.input - prompt.usage.cache_read;
    println!("prompt: {read} tokens, {:.0} a second of processor time", as_f64(read) / prompt.cpu);
    let prompt = measure(&provider, &format!("Count. {} How many?", words.repeat(4)), 1).await?;
    let read = prompt.usage.input - prompt.usage.cache_read;
    println!("long prompt: {read} tokens, {:.0} a second of processor time", as_f64(read) / prompt.cpu);
    let short = measure(&provider, "Tell me a long story about a ship.", 1).await?;
    let long = measure(&provider, "Tell me a long story about a ship.", 129).await?;
    let said = long.usage.output - short.usage.output;
    println!("answer: {said} tokens, {:.0} a second of processor time", as_f64(said) / long.cpu);
    println!("memory: {} MB at most", memory()?);
    Ok(())
}

struct Measured {
    usage: Usage,
    wall: f64,
    cpu: f64,
}

async fn measure(provider: &LocalProvider, text: &str, max: u32) -> Result<Measured, Box<dyn std::error::Error>> {
    let request = Request {
        model: "model".into(),
        system: "".into(),
        messages: Arc::new(vec![Arc::new(Message::user(text))]),
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        params: Params { max_tokens: Some(max), temperature: Some(0.0), ..Params::default() },
        output_schema: None,
    };
    let cx = CallCx { cancel: tokio_util::sync::CancellationToken::new(), idle_timeout: Duration::from_mins(2) };
    let (start, before) = (Instant::now(), cpu()?);
    let mut chunks = provider.stream(&request, &cx).await?;
    let mut usage = Usage::default();
    while let Some(chunk) = chunks.next().await {
        if let Chunk::Usage(now) = chunk? {
            usage = now;
        }
    }
    Ok(Measured { usage, wall: start.elapsed().as_secs_f64(), cpu: cpu()? - before })
}

/// Processor time of this process, in seconds.
fn cpu() -> Result<f64, Box<dyn std::error::Error>> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += stat.split(' ').next().unwrap_or("0").parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

fn memory() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand tokens")]
fn as_f64(tokens: u64) -> f64 {
    tokens as f64
}
