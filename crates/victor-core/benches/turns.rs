//! What the loop itself costs: microseconds a turn with a provider and a store in memory, for short and long sessions.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use divan::Bencher;
use victor_core::agent::{Agent, Chat};
use victor_core::runtime::Runtime;
use victor_core::testing::{ScriptedProvider, TestClock, reply_text};

fn main() {
    divan::main();
}

/// One more turn of a chat that already has so many.
#[divan::bench(args = [10, 100, 500, 2000], sample_count = 200, sample_size = 1)]
fn one_turn_after(bencher: Bencher<'_, '_>, turns: usize) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let provider = ScriptedProvider::new((0..turns + 400).map(|_| reply_text("a short answer")));
    let mut chat = tokio.block_on(begun(&provider, turns));
    bencher.bench_local(|| tokio.block_on(chat.run("and now?")).unwrap());
}

async fn begun(provider: &Arc<ScriptedProvider>, turns: usize) -> Chat {
    let runtime = Runtime::builder().clock(TestClock::default()).build().unwrap();
    let agent = Agent::builder().model(provider.model()).build(&runtime).await.unwrap();
    let mut chat = agent.chat(None);
    for _ in 0..turns {
        chat.run("go on").await.unwrap();
    }
    chat
}
