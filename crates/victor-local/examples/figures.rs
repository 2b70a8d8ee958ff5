//! Measures a model's file: `cargo run --release -p victor-local --example figures -- FILE.gguf` prints load time, memory,
//! and tokens per second of processor time for prompts and answers. With a file of texts, one a line, the model is one
//! for embeddings, and texts per second are printed; with `--vectors` behind it, the vectors instead.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a developer's tool")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use victor_core::embed::Embedder;
use victor_core::error::ProviderError;
use victor_core::message::Message;
use victor_core::provider::{Chunk, ModelInfo, Provider};
use victor_core::request::{CallCx, Params, Request, ToolChoice};
use victor_core::usage::Usage;
use victor_local::{Installed, LocalEmbedder, LocalProvider, Resolver};

/// One file, whatever the name.
struct One(Installed);

#[async_trait]
impl Resolver for One {
    async fn resolve(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        Ok(self.0.clone())
    }

    async fn resolve_embedding(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        Ok(self.0.clone())
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [file] => answers(file).await?,
        [file, texts] => embeddings(file, texts).await?,
        [file, texts, "--vectors"] => vectors(file, texts).await?,
        _ => return Err("name a GGUF file and, for embeddings, a file of texts".into()),
    }
    Ok(())
}

async fn answers(file: &str) -> Result<(), Box<dyn Error>> {
    let provider = LocalProvider::new(Arc::new(One(Installed::new("model", file))));
    let load = ask(&provider, "Hi", 1).await?;
    println!("load and one token: {:.2} s, {:.2} s of processor time", load.wall, load.cpu);
    let words = "The quick brown fox jumps over the lazy dog while seven wizards watch. ".repeat(24);
    for (name, text) in [
        ("prompt", format!("{words} Which animals?")),
        ("long prompt", format!("Count. {} How many?", words.repeat(4))),
    ] {
        let prompt = ask(&provider, &text, 1).await?;
        let read = prompt.usage.input - prompt.usage.cache_read;
        println!("{name}: {read} tokens, {:.0} a second of processor time", as_f64(read) / prompt.cpu);
    }
    let short = ask(&provider, "Tell me a long story about a ship.", 1).await?;
    let long = ask(&provider, "Tell me a long story about a ship.", 129).await?;
    let said = long.usage.output - short.usage.output;
    println!("answer: {said} tokens, {:.0} a second of processor time", as_f64(said) / long.cpu);
    println!("memory: {} MB at most", memory()?);
    Ok(())
}

async fn embeddings(file: &str, texts: &str) -> Result<(), Box<dyn Error>> {
    let embedder = embedder(file);
    let texts: Vec<String> = std::fs::read_to_string(texts)?.lines().map(str::to_owned).collect();
    let count = as_f64(texts.len() as u64);
    let clock = Clock::start()?;
    embedder.embed(vec!["Hi".to_owned()], &cx()).await?;
    let (wall, used) = clock.read()?;
    println!("load and one text: {wall:.2} s, {used:.2} s of processor time");
    let clock = Clock::start()?;
    let tokens = embedder.embed(texts, &cx()).await?.usage.input;
    let (wall, used) = clock.read()?;
    println!("{count} texts, {tokens} tokens in {wall:.2} s: {:.0} texts a second of processor time", count / used);
    println!("memory: {} MB at most", memory()?);
    Ok(())
}

async fn vectors(file: &str, texts: &str) -> Result<(), Box<dyn Error>> {
    let texts = std::fs::read_to_string(texts)?.lines().map(str::to_owned).collect();
    let done = embedder(file).embed(texts, &cx()).await?;
    done.vectors.iter().for_each(|vector| println!("{:?}", vector.values));
    Ok(())
}

fn embedder(file: &str) -> LocalEmbedder {
    LocalEmbedder::new(Arc::new(One(Installed { window: 256, ..Installed::new("model", file) })), "")
}

struct Measured {
    usage: Usage,
    wall: f64,
    cpu: f64,
}

async fn ask(provider: &LocalProvider, text: &str, max: u32) -> Result<Measured, Box<dyn Error>> {
    let request = Request {
        model: "model".into(),
        system: "".into(),
        messages: Arc::new(vec![Arc::new(Message::user(text))]),
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        params: Params { max_tokens: Some(max), temperature: Some(0.0), ..Params::default() },
        output_schema: None,
    };
    let clock = Clock::start()?;
    let mut chunks = provider.stream(&request, &cx()).await?;
    let mut usage = Usage::default();
    while let Some(chunk) = chunks.next().await {
        if let Chunk::Usage(now) = chunk? {
            usage = now;
        }
    }
    let (wall, cpu) = clock.read()?;
    Ok(Measured { usage, wall, cpu })
}

fn cx() -> CallCx {
    CallCx { cancel: CancellationToken::new(), idle_timeout: Duration::from_mins(2) }
}

/// Times since a moment.
struct Clock {
    start: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Result<Self, Box<dyn Error>> {
        Ok(Self { start: Instant::now(), cpu: cpu()? })
    }

    /// Seconds, and seconds of processor time.
    fn read(&self) -> Result<(f64, f64), Box<dyn Error>> {
        Ok((self.start.elapsed().as_secs_f64(), cpu()? - self.cpu))
    }
}

/// Processor time of this process, in seconds. With that of threads that have ended: llama.cpp has new ones for each
/// token.
fn cpu() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the program's name, which may hold anything: the 14th and 15th values of all, in hundredths (proc(5)).
    let (_, values) = stat.rsplit_once(") ").ok_or("no stat")?;
    let hundredths = values.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(hundredths / 100.0)
}

fn memory() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand tokens")]
fn as_f64(tokens: u64) -> f64 {
    tokens as f64
}
