//! Tools of one's own by derive and by closure, and tools and agents put together to one tool.
#![allow(clippy::print_stdout)]

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use victor::compose::{ask, branch, call, pass, pipe};
use victor::message::text_of;
use victor::prelude::*;
use victor::tool::{Effects, Json, ToolCx};
use victor::{Tool, tool_fn};

/// Counts the words of a text.
#[derive(Deserialize, JsonSchema, Tool)]
#[tool(effects(none))]
struct CountWords {
    /// The text.
    text: String,
}

impl CountWords {
    async fn run(self, _cx: ToolCx) -> Result<Json<usize>, ToolError> {
        Ok(Json(self.text.split_whitespace().count()))
    }
}

#[derive(Deserialize, JsonSchema)]
struct Dice {
    /// Sides of the die.
    sides: u32,
}

#[derive(Deserialize, JsonSchema)]
struct File {
    /// The file's path.
    path: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;

    let dice = tool_fn("dice", "Tells the highest number of a die.", Effects::NONE, |dice: Dice, _cx| async move {
        Ok(dice.sides.to_string())
    });

    // The file as it is where it is short, else what an agent makes of it.
    let read = victor.tool_set().await.get("read").cloned().ok_or_else(|| ToolError::model("no tool `read`"))?;
    let editor = Agent::builder().system("Say in one sentence what the text says.").build(&victor).await?;
    let text = call(read).with(|file: File| json!({ "path": file.path })).map(|output| Ok(text_of(&output.content)));
    let short = branch(|text: &String| text.len() > 400, ask(&editor, "editor"), pass());
    let digest = pipe(text, short).into_tool("digest", "Tells in short what a file says.");

    let agent = Agent::builder().tool(CountWords::tool()).tool(dice).tool(digest).build(&victor).await?;
    let answer = agent.run("What do short.txt and long.txt say? How high is a die, how many words has 'one brick'?");
    let answer = answer.await?;
    let mut used = answer.tools_used.clone();
    used.sort();
    println!("{answer}\n{}", used.join(" "));
    Ok(())
}
