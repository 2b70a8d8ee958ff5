//! Members argue in turn for some rounds, then the judge decides.

use serde_json::json;

use super::super::floor::{Floor, Stop, Turn, form};
use super::super::outcome::{Contribution, Verdict};
use super::super::spec::NOBODY;
use super::super::words::{list, told};
use super::names;

/// Rounds unless the team says otherwise.
const ROUNDS: u32 = 2;

pub(super) async fn debate(floor: &Floor<'_>) -> Result<String, Stop> {
    let rounds = floor.rounds(ROUNDS);
    let mut said: Vec<Contribution> = Vec::new();
    for round in 1..=rounds {
        for member in &floor.team.members {
            let others = floor.team.members.iter().map(|m| m.name.as_str()).filter(|n| *n != member.name);
            let say = format!(
                "You are {} in a debate with {}. This is round {round} of {rounds}. Argue for your position, and \
                 answer the others.",
                member.name,
                list(others)
            );
            let titled = transcript(&said);
            let text = told(floor.task, &say, titled.iter().map(|(t, s)| (t.as_str(), *s)));
            let turn = Turn { from: names(&said), text, round, ..Turn::default() };
            said.extend(floor.ask(member, turn).await?);
        }
    }
    if said.is_empty() {
        return Err(floor.nobody_left());
    }
    decide(floor, &said, rounds).await
}

async fn decide(floor: &Floor<'_>, said: &[Contribution], round: u32) -> Result<String, Stop> {
    let Some(judge) = &floor.team.judge else { return Err(floor.nobody_left()) };
    let mut winners = names(said);
    winners.push(NOBODY.to_owned());
    let shape = json!({
        "answer": { "type": "string" },
        "winner": { "type": "string", "enum": winners },
        "reason": { "type": "string" },
    });
    let say = "You are the judge of this debate. Give the answer to the task as you find it after what was said, name \
               who has won, or nobody, and say why.";
    let titled = transcript(said);
    let text = told(floor.task, say, titled.iter().map(|(t, s)| (t.as_str(), *s)));
    let turn = Turn { from: names(said), text, round, form: Some(form("verdict", shape)), ..Turn::default() };
    let verdict = floor.ask_needed(judge, turn).await?;
    let of = |key: &str| verdict.structured.as_ref()?.get(key)?.as_str().map(ToOwned::to_owned);
    let winner = of("winner").filter(|w| w != NOBODY);
    floor.record.judge(Verdict { winner, reason: of("reason").unwrap_or_default() });
    Ok(of("answer").unwrap_or(verdict.text))
}

fn transcript(said: &[Contribution]) -> Vec<(String, &str)> {
    said.iter().map(|c| (format!("{}, round {}", c.member, c.round), c.text.as_str())).collect()
}
