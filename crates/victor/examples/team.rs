//! Agents that work together: a lead that hands out work, then a worker and a critic, followed by events.
#![allow(clippy::print_stdout)]

use victor::permission::Mode;
use victor::prelude::*;
use victor::team::Member;
use victor::usage::Budget;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;

    let lead = Agent::builder().mode(Mode::Delegate).build(&victor).await?;
    let analyst = Agent::builder().mode(Mode::Explore).system("You read files.").build(&victor).await?;
    let writer = Agent::create(&victor, ()).await?; // "openai/gpt-5", say: each member has its own model
    let crew = [Member::new("analyst", analyst).about("reads files"), Member::new("writer", writer.clone())];
    let team = Team::hierarchical(lead, crew).budget(Budget { max_turns: Some(20), ..Budget::default() });

    let done = team.run("What do the notes say?").await?;
    println!("{done}");
    for said in &done.contributions {
        println!("  {}: {}", said.member, said.text);
    }

    let critic = Agent::create(&victor, ()).await?;
    let mut run = Team::reflection(("writer", writer), ("critic", critic)).astream("A word for a thing to build with.");
    while let Some(event) = run.next().await {
        match event.kind {
            EventKind::MemberMessage { from, text } if from.is_empty() => {
                println!("{} < : {text}", event.path.join("/"))
            }
            EventKind::MemberMessage { from, .. } => println!("{} < {}", event.path.join("/"), from.join(", ")),
            EventKind::Finished { outcome } if event.path.is_empty() => println!("{outcome}"),
            _ => {}
        }
    }
    Ok(())
}
