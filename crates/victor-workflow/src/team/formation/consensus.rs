//! Each proposes, then all vote; until enough agree or the rounds are used up.

use serde_json::json;

use super::super::floor::{Floor, Stop, Turn, form};
use super::super::outcome::{Contribution, Vote};
use super::super::words::{list, told};
use super::{names, words};

/// Rounds unless the team says otherwise.
const ROUNDS: u32 = 3;

pub(super) async fn consensus(floor: &Floor<'_>) -> Result<String, Stop> {
    let rounds = floor.rounds(ROUNDS);
    let mut before: Option<(Vec<Contribution>, Vec<Vote>)> = None;
    for round in 1..=rounds {
        let proposals = propose(floor, round, before.as_ref()).await?;
        let votes = vote(floor, round, &proposals).await?;
        let (best, count) = leading(&proposals, &votes).ok_or_else(|| floor.nobody_left())?;
        let agreement = share(count, floor.team.members.len());
        floor.record.vote(votes.iter().cloned(), agreement);
        if agreement + f64::EPSILON >= floor.team.min_agreement {
            return Ok(best.text.clone());
        }
        if round == rounds {
            let wanted = floor.team.min_agreement;
            let message = format!(
                "after {rounds} rounds {count} of {} members agree ({agreement:.2}), not {wanted:.2}",
                floor.team.members.len()
            );
            return Err(Stop::rounds("NO_AGREEMENT", message, best.text.clone()));
        }
        before = Some((proposals, votes));
    }
    Err(floor.nobody_left())
}

async fn propose(
    floor: &Floor<'_>,
    round: u32,
    before: Option<&(Vec<Contribution>, Vec<Vote>)>,
) -> Result<Vec<Contribution>, Stop> {
    let turn = match before {
        None => {
            let members = list(floor.team.members.iter().map(|m| m.name.as_str()));
            let say = format!("Make a proposal. Afterwards {members} vote on all proposals.");
            Turn { text: told(floor.task, &say, []), round, ..Turn::default() }
        }
        Some((proposals, votes)) => {
            let titled = proposals.iter().map(|p| {
                let count = votes.iter().filter(|v| v.vote == p.member).count();
                let plural = if count == 1 { "" } else { "s" };
                (format!("{} ({count} vote{plural})", p.member), p.text.as_str())
            });
            let titled: Vec<_> = titled.collect();
            let reasons: Vec<_> = votes.iter().map(|v| format!("{} for {}: {}", v.member, v.vote, v.reason)).collect();
            let reasons = reasons.join("\n");
            let say = "No proposal had enough votes. Make a new proposal that more can agree to, or take over one.";
            let all = titled.iter().map(|(title, text)| (title.as_str(), *text));
            let text = told(floor.task, say, all.chain([("Reasons", reasons.as_str())]));
            Turn { from: names(proposals), text, round, ..Turn::default() }
        }
    };
    let said = floor.ask_all(floor.team.members.iter().map(|m| (m, turn.clone())).collect()).await?;
    if said.is_empty() { Err(floor.nobody_left()) } else { Ok(said) }
}

async fn vote(floor: &Floor<'_>, round: u32, proposals: &[Contribution]) -> Result<Vec<Vote>, Stop> {
    let candidates = names(proposals);
    let vote = json!({ "vote": { "type": "string", "enum": candidates }, "reason": { "type": "string" } });
    let say = "Vote for the best of these proposals, by the name of its author. You may vote for your own.";
    let text = told(floor.task, say, words(proposals));
    let turn = Turn { from: candidates, text, round, form: Some(form("vote", vote)), ..Turn::default() };
    let said = floor.ask_all(floor.team.members.iter().map(|m| (m, turn.clone())).collect()).await?;
    let read = said.iter().filter_map(|c| {
        let of = |key: &str| c.structured.as_ref()?.get(key)?.as_str().map(ToOwned::to_owned);
        Some(Vote { round, member: c.member.clone(), vote: of("vote")?, reason: of("reason").unwrap_or_default() })
    });
    Ok(read.collect())
}

/// The proposal with the most votes; of equals the first.
fn leading<'a>(proposals: &'a [Contribution], votes: &[Vote]) -> Option<(&'a Contribution, usize)> {
    let counted = proposals.iter().map(|p| (p, votes.iter().filter(|v| v.vote == p.member).count()));
    counted.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

#[expect(clippy::cast_precision_loss, reason = "a team is small")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
