//! The worker works and the critic criticises, until it approves or the rounds are used up.

use serde_json::{Value, json};

use super::super::floor::{Floor, Stop, Turn, form};
use super::super::words::told;

/// Rounds unless the team says otherwise.
const ROUNDS: u32 = 3;

pub(super) async fn reflection(floor: &Floor<'_>) -> Result<String, Stop> {
    let [worker, critic] = floor.team.members.as_slice() else { return Err(floor.nobody_left()) };
    let rounds = floor.rounds(ROUNDS);
    let shape = json!({ "approved": { "type": "boolean" }, "feedback": { "type": "string" } });
    let mut work = Turn { text: floor.task.to_owned(), round: 1, ..Turn::default() };
    let mut round = 1;
    loop {
        let draft = floor.ask_needed(worker, work).await?.text;
        let say = "Judge this work. Approve it if nothing has to be changed; else say what has to be.";
        let text = told(floor.task, say, [(worker.name.as_str(), draft.as_str())]);
        let form = Some(form("review", shape.clone()));
        let turn = Turn { from: vec![worker.name.clone()], text, round, form, ..Turn::default() };
        let review = floor.ask_needed(critic, turn).await?.structured.unwrap_or_default();
        let approved = review.get("approved") == Some(&Value::Bool(true));
        let feedback = review.get("feedback").and_then(Value::as_str).unwrap_or_default();
        floor.record.approve(approved);
        if approved {
            return Ok(draft);
        }
        if round == rounds {
            let message = format!("{} has not approved after {rounds} rounds: {feedback}", critic.name);
            return Err(Stop::rounds("NOT_APPROVED", message, draft));
        }
        round += 1;
        let say = "Your last version was not approved. Make a new one.";
        let both = [("Your last version", draft.as_str()), (critic.name.as_str(), feedback)];
        work = Turn { from: vec![critic.name.clone()], text: told(floor.task, say, both), round, ..Turn::default() };
    }
}
