//! One member after the other: each with all words before it, or each with the words of the one before.

use super::super::floor::{Floor, Stop, Turn};
use super::super::outcome::Contribution;
use super::super::words::told;
use super::{names, words};

pub(super) async fn sequential(floor: &Floor<'_>) -> Result<String, Stop> {
    let mut said: Vec<Contribution> = Vec::new();
    for member in &floor.team.members {
        let text = match said.as_slice() {
            [] => floor.task.to_owned(),
            said => told(floor.task, "Others have worked on this before you. Go on from there.", words(said)),
        };
        let turn = Turn { from: names(&said), text, round: 1, ..Turn::default() };
        said.extend(floor.ask(member, turn).await?);
    }
    said.pop().map(|last| last.text).ok_or_else(|| floor.nobody_left())
}

pub(super) async fn pipeline(floor: &Floor<'_>) -> Result<String, Stop> {
    let mut last: Option<Contribution> = None;
    for member in &floor.team.members {
        let turn = match &last {
            None => Turn { text: floor.task.to_owned(), round: 1, ..Turn::default() },
            Some(last) => {
                Turn { from: vec![last.member.clone()], text: last.text.clone(), round: 1, ..Turn::default() }
            }
        };
        last = floor.ask(member, turn).await?.or(last);
    }
    last.map(|last| last.text).ok_or_else(|| floor.nobody_left())
}
