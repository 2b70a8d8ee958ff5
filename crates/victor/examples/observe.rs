//! Events of all runs by topic, and a state that an application keeps between its own runs.
#![allow(clippy::print_stdout)]

use victor::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;
    let agent = Agent::create(&victor, ()).await?;

    let (sender, topics) = std::sync::mpsc::channel();
    let subscription = victor.events().subscribe("provider.*", move |e| sender.send(e.topic).unwrap_or_default())?;
    agent.run("Say hello.").await?;
    drop(subscription);
    println!("{}", topics.iter().collect::<Vec<_>>().join(" "));

    let path = victor.workspace().root.join("s.json");
    let mut state = State::new();
    state.set("runs", 1)?;
    state.save(&path)?;
    let state = State::load(&path)?;
    println!("runs so far: {}", state.get::<u32>("runs")?);
    Ok(())
}
