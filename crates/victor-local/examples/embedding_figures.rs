//! Measures an embedding model: `cargo run --release -p victor-local --example embedding_figures -- FILE.gguf TEXTS`,
//! with one text a line. Prints texts per second of processor time and memory; `--vectors` prints the vectors instead.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a developer's tool")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use victor_core::embed::Embedder;
use victor_core::error::ProviderError;
use victor_core::provider::ModelInfo;
use victor_core::request::CallCx;
use victor_local::{Installed, LocalEmbedder, Resolver};

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
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, texts, rest @ ..] = args.as_slice() else { return Err("name a GGUF file and a file of texts".into()) };
    let texts: Vec<String> = std::fs::read_to_string(texts)?.lines().map(str::to_owned).collect();
    let model = Installed { window: 256, ..Installed::new("model", file) };
    let embedder = LocalEmbedder::new(Arc::new(One(model)), "");
    let cx = CallCx { cancel: CancellationToken::new(), idle_timeout: Duration::from_mins(2) };
    let (start, before) = (Instant::now(), cpu()?);
    embedder.embed(vec!["Hi".to_owned()], &cx).await?;
    println!("load and one text: {:.2} s, {:.2} s of processor time", start.elapsed().as_secs_f64(), cpu()? - before);
    let (start, before) = (Instant::now(), cpu()?);
    let done = embedder.embed(texts.clone(), &cx).await?;
    let (wall, used) = (start.elapsed().as_secs_f64(), cpu()? - before);
    if rest.iter().any(|arg| arg == "--vectors") {
        done.vectors.iter().for_each(|vector| println!("{:?}", vector.values));
        return Ok(());
    }
    println!(
        "{} texts, {} tokens in {wall:.2} s: {:.0} texts a second of processor time",
        texts.len(),
        done.usage.input,
        f64::from(u32::try_from(texts.len())?) / used
    );
    println!("memory: {} MB at most", memory()?);
    Ok(())
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
