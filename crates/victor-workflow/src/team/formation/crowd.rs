//! All members at once: each for itself, or with a blackboard between them.

use std::sync::Arc;

use super::super::Member;
use super::super::board::Board;
use super::super::floor::{Floor, Stop, Turn};
use super::super::outcome::Contribution;
use super::super::words::{joined, list, told};
use super::{names, words};

pub(super) async fn parallel(floor: &Floor<'_>) -> Result<String, Stop> {
    let turn = Turn { text: floor.task.to_owned(), round: 1, ..Turn::default() };
    let said = floor.ask_all(floor.team.members.iter().map(|m| (m, turn.clone())).collect()).await?;
    integrated(floor, &said, None).await
}

pub(super) async fn flat(floor: &Floor<'_>) -> Result<String, Stop> {
    let board = Arc::new(Board::default());
    let mut said = Vec::new();
    for round in 1..=floor.rounds(1) {
        let turns = floor.team.members.iter().map(|m| (m, peer(floor, m, &board, round))).collect();
        said = floor.ask_all(turns).await?;
        if said.is_empty() {
            return Err(floor.nobody_left());
        }
    }
    integrated(floor, &said, Some(&board.text())).await
}

fn peer(floor: &Floor<'_>, member: &Member, board: &Arc<Board>, round: u32) -> Turn {
    let others: Vec<_> = floor.team.members.iter().map(|m| m.name.as_str()).filter(|n| *n != member.name).collect();
    let mut text = format!(
        "{}\n\nYou are {}. You work on this at the same time as {}. Read the blackboard with `blackboard_read` before \
         you decide, and write what the others should know with `blackboard_write`.",
        floor.task,
        member.name,
        list(others.iter().copied()),
    );
    let mut from = Vec::new();
    if round > 1 {
        from = others.into_iter().map(ToOwned::to_owned).collect();
        text = told(&text, &format!("This is round {round}."), [("Blackboard", board.text().as_str())]);
    }
    Turn { from, text, round, tools: board.tools(&member.name, &floor.scope), form: None }
}

/// One answer: the lead's of what the others said, or theirs side by side.
async fn integrated(floor: &Floor<'_>, said: &[Contribution], board: Option<&str>) -> Result<String, Stop> {
    if said.is_empty() {
        return Err(floor.nobody_left());
    }
    let Some(lead) = &floor.team.lead else { return Ok(joined(words(said))) };
    let say = "The members of your team have answered. Make one answer of what they say.";
    let board = board.map(|text| ("Blackboard", text));
    let text = told(floor.task, say, words(said).chain(board));
    let round = said.iter().map(|c| c.round).max().unwrap_or(1);
    let turn = Turn { from: names(said), text, round, ..Turn::default() };
    floor.ask_needed(lead, turn).await.map(|answer| answer.text)
}
