//! A tool of one's own, and an agent that another agent uses as a tool.
#![allow(clippy::print_stdout)]

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use victor::prelude::*;
use victor::tool::{Effects, Plan, Tool, ToolCx, ToolOutput, erase};

struct Dice;

#[derive(Deserialize, JsonSchema)]
struct DiceArgs {
    /// Sides of the die.
    sides: u32,
}

impl Tool for Dice {
    const NAME: &'static str = "dice";
    type Args = DiceArgs;

    fn description(&self) -> Cow<'static, str> {
        "Tells the highest number that a die can show.".into()
    }

    fn effects(&self) -> Effects {
        Effects::NONE
    }

    async fn plan(&self, args: DiceArgs, _: &ToolCx) -> Result<Plan, ToolError> {
        if args.sides == 0 {
            return Err(ToolError::model("a die has at least one side"));
        }
        Ok(Plan::new(Effects::NONE, move |_permit, _cx| async move { Ok(ToolOutput::text(args.sides.to_string())) }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;
    let player = Agent::builder().tool(erase(Dice)).system("You play dice.").build(&victor).await?;
    let host = Agent::builder().tool(player.as_tool("player", "Plays dice for you.")).build(&victor).await?;
    println!("{}", host.run("Have the player look at a die with six sides.").await?);
    Ok(())
}
