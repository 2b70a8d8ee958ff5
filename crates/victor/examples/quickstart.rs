//! One task, one answer, with the command line's configuration.
#![allow(clippy::print_stdout)]

use victor::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;
    let agent = Agent::create(&victor, ()).await?;
    let answer = agent.run("Name three uses of a brick.").await?;
    println!("{answer}");
    println!("{} tokens, {:?}, tools: {:?}", answer.usage.total(), answer.status, answer.tools_used);
    Ok(())
}
