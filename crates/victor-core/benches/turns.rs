//! What the loop itself costs: microseconds a turn with a provider and a store in memory, for short and long sessions.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use divan::Bencher;
use victor_core::agent::{Agent, Chat};
use victor_core::error::ProviderError;
use victor_core::provider::{ChunkStream, Model, ModelInfo, Provider};
use victor_core::request::{CallCx, Request};
use victor_core::runtime::Runtime;
use victor_core::testing::{TestClock, reply_text};

fn main() {
    divan::main();
}

/// Always says the same, and keeps nothing of what it is sent.
struct Brief;

#[async_trait]
impl Provider for Brief {
    fn name(&self) -> &'static str {
        "brief"
    }

    fn wire(&self) -> &'static str {
        "brief"
    }

    async fn stream(&self, _: &Request, _: &CallCx) -> Result<ChunkStream, ProviderError> {
        Ok(Box::pin(futures::stream::iter(reply_text("a short answer"))))
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Vec::new())
    }
}

/// One more turn of a chat that already has so many.
#[divan::bench(args = [10, 100, 500, 2000], sample_count = 200, sample_size = 1)]
fn one_turn_after(bencher: Bencher<'_, '_>, turns: usize) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut chat = tokio.block_on(begun(turns));
    bencher.bench_local(|| tokio.block_on(chat.run("and now?")).unwrap());
}

async fn begun(turns: usize) -> Chat {
    let runtime = Runtime::builder().clock(TestClock::default()).build().unwrap();
    let info = ModelInfo { id: "brief".into(), provider: "brief".into(), ..ModelInfo::default() };
    let model = Model { provider: Arc::new(Brief), info: Arc::new(info) };
    let agent = Agent::builder().model(model).build(&runtime).await.unwrap();
    let mut chat = agent.chat(None);
    for _ in 0..turns {
        chat.run("go on").await.unwrap();
    }
    chat
}
