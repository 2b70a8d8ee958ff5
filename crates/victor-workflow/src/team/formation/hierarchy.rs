//! A lead that plans, hands work to the members through tools, and integrates.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::Member;
use super::super::floor::{Floor, Stop, Turn};
use super::super::tool::{of_member, tool_name};

pub(super) async fn hierarchical(floor: &Floor<'_>) -> Result<String, Stop> {
    let Some(lead) = &floor.team.lead else { return Err(floor.nobody_left()) };
    let policy = floor.team.on_member_failure;
    let hand_over =
        |member: &Member| of_member(member.clone(), floor.scope.clone(), Arc::clone(&floor.record), policy, &lead.name);
    let tools = floor.team.members.iter().map(hand_over).collect();
    let turn = Turn { text: briefing(floor), round: 1, tools, ..Turn::default() };
    let answer = floor.ask_needed(lead, turn).await;
    match floor.record.stopped() {
        Some(stop) => Err(stop),
        None => answer.map(|answer| answer.text),
    }
}

fn briefing(floor: &Floor<'_>) -> String {
    let mut text = format!(
        "{}\n\nYou lead a team. Plan the work, hand parts of it to the members with their tools, and make one answer of \
         what they bring. A member sees nothing but the task that you give it.\n",
        floor.task,
    );
    for member in &floor.team.members {
        let _ = write!(text, "\n- {} (`{}`)", member.name, tool_name(member));
        if !member.about.is_empty() {
            let _ = write!(text, ": {}", member.about);
        }
    }
    text
}
