//! The answer's text as it comes, then the same run as events.
#![allow(clippy::print_stdout)]

use futures::StreamExt;
use victor::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;
    let agent = Agent::create(&victor, ()).await?;

    let mut text = agent.astream("Name three uses of a brick.").text();
    while let Some(piece) = text.next().await {
        print!("{}", piece?);
    }
    println!();

    let mut run = agent.astream("And of a rope?");
    while let Some(event) = run.next().await {
        match event.kind {
            EventKind::ToolCall { tool, .. } => println!("[{tool}]"),
            EventKind::Finished { outcome } => println!("{outcome} ({} turns)", outcome.turns),
            _ => {}
        }
    }
    Ok(())
}
