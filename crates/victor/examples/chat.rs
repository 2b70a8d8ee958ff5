//! A conversation that is saved as it happens, and goes on in another chat.
#![allow(clippy::print_stdout)]

use victor::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;
    let agent = Agent::create(&victor, ()).await?;

    let mut chat = agent.chat(None);
    chat.run("My name is Ada.").await?;
    if let Some(model) = std::env::args().nth(1) {
        chat.switch(model.as_str()).await?; // "openai/gpt-5", say; for the rest of this chat
    }
    let session = chat.session().clone();
    drop(chat);

    let mut later = agent.chat(Some(session));
    println!("{}", later.run("What is my name?").await?);
    Ok(())
}
