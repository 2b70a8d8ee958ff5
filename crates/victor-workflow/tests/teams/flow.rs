//! The flow of messages of each formation.

use serde_json::json;
use victor_core::agent::Status;
use victor_core::event::EventKind;
use victor_core::testing::{reply_calls, reply_text};
use victor_workflow::team::Team;

use super::stage::{does, ended, events, forms, perform, runtime, says, told};

#[tokio::test]
async fn sequential_members_see_all_words_before_them() {
    let rt = runtime();
    let team =
        Team::sequential([says(&rt, "a", &["A"]).await, says(&rt, "b", &["B"]).await, says(&rt, "c", &["C"]).await]);
    let (flow, done) = perform(&team, "Build it").await;
    let before = "Build it\n\nOthers have worked on this before you. Go on from there.";
    assert_eq!(
        flow,
        [
            "a < : Build it".to_owned(),
            format!("b < a: {before}\n\n## a\n\nA"),
            format!("c < a+b: {before}\n\n## a\n\nA\n\n## b\n\nB"),
        ]
    );
    assert_eq!((done.text(), done.status, done.turns, done.usage.total()), ("C", Status::Completed, 3, 36));
    let said = done.contributions.iter().map(|c| (c.member.as_str(), c.text.as_str(), c.usage.total()));
    assert_eq!(said.collect::<Vec<_>>(), [("a", "A", 12), ("b", "B", 12), ("c", "C", 12)]);
}

#[tokio::test]
async fn a_pipeline_hands_on_nothing_but_the_last_words() {
    let rt = runtime();
    let team = Team::pipeline([says(&rt, "a", &["A"]).await, says(&rt, "b", &["B"]).await]);
    let (flow, done) = perform(&team, "Build it").await;
    assert_eq!(flow, ["a < : Build it", "b < a: A"]);
    assert_eq!(done.text(), "B");
}

#[tokio::test]
async fn parallel_members_know_nothing_of_each_other() {
    let rt = runtime();
    let members = || async { [says(&rt, "a", &["A"]).await, says(&rt, "b", &["B"]).await] };
    let (flow, done) = perform(&Team::parallel(members().await), "Build it").await;
    assert_eq!(flow, ["a < : Build it", "b < : Build it"]);
    assert_eq!(done.text(), "## a\n\nA\n\n## b\n\nB");
    let led = Team::parallel(members().await).lead(says(&rt, "boss", &["AB"]).await);
    let (flow, done) = perform(&led, "Build it").await;
    let say = "The members of your team have answered. Make one answer of what they say.";
    assert_eq!(flow[2], format!("boss < a+b: Build it\n\n{say}\n\n## a\n\nA\n\n## b\n\nB"));
    assert_eq!(done.text(), "AB");
}

#[tokio::test]
async fn a_lead_hands_work_to_members_and_integrates() {
    let rt = runtime();
    let plan = reply_calls(&[("ask_a", json!({ "task": "part one" })), ("ask_b", json!({ "task": "part two" }))]);
    let lead = does(&rt, "boss", vec![plan, reply_text("one and two")], &[]).await;
    let a = says(&rt, "a", &["1"]).await.about("knows ones");
    let team = Team::hierarchical(lead, [a, says(&rt, "b", &["2"]).await]);
    let all = events(team.astream("Build it")).await;
    let (outcome, done) = ended(&all);
    let briefing = "boss < : Build it\n\nYou lead a team. Plan the work, hand parts of it to the members with their \
                    tools, and make one answer of what they bring. A member sees nothing but the task that you give \
                    it.\n\n- a (`ask_a`): knows ones\n- b (`ask_b`)";
    assert_eq!(told(&all), [briefing, "boss/call_0/a < boss: part one", "boss/call_1/b < boss: part two"]);
    let results = all.iter().filter(|e| e.path == ["boss"]).filter_map(|e| match &e.kind {
        EventKind::ToolResult { tool, output, .. } => Some((tool.as_str(), victor_core::message::text_of(output))),
        _ => None,
    });
    assert_eq!(results.collect::<Vec<_>>(), [("ask_a", "1".to_owned()), ("ask_b", "2".to_owned())]);
    assert_eq!((done.text(), outcome.text(), done.turns), ("one and two", "one and two", 4));
    let members: Vec<_> = done.contributions.iter().map(|c| c.member.as_str()).collect();
    assert_eq!(members, ["a", "b", "boss"]);
}

#[tokio::test]
async fn peers_share_a_blackboard() {
    let rt = runtime();
    let write = reply_calls(&[("blackboard_write", json!({ "text": "the lid is red" }))]);
    let read = || reply_calls(&[("blackboard_read", json!({}))]);
    let a = does(&rt, "a", vec![write, reply_text("A1"), read(), reply_text("A2")], &[]).await;
    let b = does(&rt, "b", vec![reply_text("B1"), read(), reply_text("B2")], &[]).await;
    let team = Team::flat([a, b]).rounds(2).lead(says(&rt, "boss", &["AB"]).await);
    let all = events(team.astream("Build it")).await;
    let peer = |name: &str, other: &str| {
        format!(
            "Build it\n\nYou are {name}. You work on this at the same time as {other}. Read the blackboard with \
             `blackboard_read` before you decide, and write what the others should know with `blackboard_write`."
        )
    };
    let board = "\n\nThis is round 2.\n\n## Blackboard\n\na: the lid is red";
    let say = "The members of your team have answered. Make one answer of what they say.";
    let integrate = "\n\n## a\n\nA2\n\n## b\n\nB2\n\n## Blackboard\n\na: the lid is red";
    assert_eq!(
        told(&all),
        [
            format!("a < : {}", peer("a", "b")),
            "blackboard < a: the lid is red".to_owned(),
            format!("b < : {}", peer("b", "a")),
            format!("a < b: {}{board}", peer("a", "b")),
            format!("b < a: {}{board}", peer("b", "a")),
            format!("boss < a+b: Build it\n\n{say}{integrate}"),
        ]
    );
    let read = all.iter().filter_map(|e| match &e.kind {
        EventKind::ToolResult { tool, output, .. } if tool == "blackboard_read" => {
            Some((e.path.join("/"), victor_core::message::text_of(output)))
        }
        _ => None,
    });
    let red = "a: the lid is red".to_owned();
    let mut read: Vec<_> = read.collect();
    read.sort();
    assert_eq!(read, [("a".to_owned(), red.clone()), ("b".to_owned(), red)]);
    let (_, done) = ended(&all);
    assert_eq!((done.text(), done.rounds, done.contributions.len()), ("AB", 2, 5));
}

fn vote(name: &str, reason: &str) -> serde_json::Value {
    json!({ "vote": name, "reason": reason })
}

#[tokio::test]
async fn a_consensus_is_voted_on_until_enough_agree() {
    let rt = runtime();
    let texts = |name: &str, first: &str, second: &str, votes: [&str; 2]| {
        let replies = [first.to_owned(), vote(votes[0], "why not").to_string()];
        let more = [second.to_owned(), vote(votes[1], "now yes").to_string()];
        let all: Vec<_> = replies.into_iter().chain(more).map(|t| reply_text(&t)).collect();
        let (rt, name) = (rt.clone(), name.to_owned());
        async move { does(&rt, &name, all, &[]).await }
    };
    let a = texts("a", "red", "red!", ["a", "a"]).await;
    let b = texts("b", "blue", "red too", ["b", "a"]).await;
    let c = texts("c", "green", "green!", ["c", "c"]).await;
    let (flow, done) = perform(&Team::consensus([a, b, c]), "A colour").await;
    let propose = "A colour\n\nMake a proposal. Afterwards a, b and c vote on all proposals.";
    let ballot = "A colour\n\nVote for the best of these proposals, by the name of its author. You may vote for your \
                  own.";
    let again = "A colour\n\nNo proposal had enough votes. Make a new proposal that more can agree to, or take over \
                 one.\n\n## a (1 vote)\n\nred\n\n## b (1 vote)\n\nblue\n\n## c (1 vote)\n\ngreen\n\n## Reasons\n\n\
                 a for a: why not\nb for b: why not\nc for c: why not";
    let each = |from: &str, text: &str| ["a", "b", "c"].map(|m| format!("{m} < {from}: {text}"));
    let expected = [
        each("", propose),
        each("a+b+c", &format!("{ballot}\n\n## a\n\nred\n\n## b\n\nblue\n\n## c\n\ngreen")),
        each("a+b+c", again),
        each("a+b+c", &format!("{ballot}\n\n## a\n\nred!\n\n## b\n\nred too\n\n## c\n\ngreen!")),
    ];
    assert_eq!(flow, expected.concat());
    assert_eq!((done.text(), done.status, done.rounds), ("red!", Status::Completed, 2));
    assert!((done.agreement.unwrap() - 2.0 / 3.0).abs() < 1e-9);
    let votes: Vec<_> = done.votes.iter().map(|v| (v.round, v.member.as_str(), v.vote.as_str())).collect();
    assert_eq!(votes, [(1, "a", "a"), (1, "b", "b"), (1, "c", "c"), (2, "a", "a"), (2, "b", "a"), (2, "c", "c")]);
}

#[tokio::test]
async fn a_consensus_that_is_not_reached_is_no_success() {
    let rt = runtime();
    let a = forms(&rt, "a", &["red"], &[vote("a", "mine")]).await;
    let b = forms(&rt, "b", &["blue"], &[vote("b", "mine")]).await;
    let (_, done) = perform(&Team::consensus([a, b]).rounds(1).min_agreement(0.6), "A colour").await;
    assert_eq!((done.status, done.text(), done.agreement), (Status::Limit, "red", Some(0.5)));
    let error = done.error.unwrap();
    assert_eq!(error.code, "NO_AGREEMENT");
    assert_eq!(error.message, "after 1 rounds 1 of 2 members agree (0.50), not 0.60");
}

#[tokio::test]
async fn a_judge_decides_a_debate() {
    let rt = runtime();
    let verdict = json!({ "answer": "Tabs.", "winner": "b", "reason": "They are one byte." });
    let (a, b) = (says(&rt, "a", &["a1", "a2"]).await, says(&rt, "b", &["b1", "b2"]).await);
    let (flow, done) = perform(&Team::debate([a, b], forms(&rt, "jo", &[], &[verdict]).await), "Tabs?").await;
    let say = |name: &str, other: &str, round: u32| {
        format!(
            "Tabs?\n\nYou are {name} in a debate with {other}. This is round {round} of 2. Argue for your position, and \
             answer the others."
        )
    };
    let said =
        ["\n\n## a, round 1\n\na1", "\n\n## b, round 1\n\nb1", "\n\n## a, round 2\n\na2", "\n\n## b, round 2\n\nb2"];
    let judge = "Tabs?\n\nYou are the judge of this debate. Give the answer to the task as you find it after what was \
                 said, name who has won, or nobody, and say why.";
    assert_eq!(
        flow,
        [
            format!("a < : {}", say("a", "b", 1)),
            format!("b < a: {}{}", say("b", "a", 1), said[..1].concat()),
            format!("a < a+b: {}{}", say("a", "b", 2), said[..2].concat()),
            format!("b < a+b: {}{}", say("b", "a", 2), said[..3].concat()),
            format!("jo < a+b: {judge}{}", said.concat()),
        ]
    );
    let decided = done.verdict.clone().unwrap();
    assert_eq!((done.text(), decided.winner.as_deref()), ("Tabs.", Some("b")));
    assert_eq!(decided.reason, "They are one byte.");
}

#[tokio::test]
async fn a_reflection_ends_when_the_critic_approves() {
    let rt = runtime();
    let reviews = [json!({ "approved": false, "feedback": "shorter" }), json!({ "approved": true, "feedback": "" })];
    let team = Team::reflection(says(&rt, "w", &["long", "short"]).await, forms(&rt, "c", &[], &reviews).await);
    let (flow, done) = perform(&team, "A poem").await;
    let judge =
        "A poem\n\nJudge this work. Approve it if nothing has to be changed; else say what has to be.\n\n## w\n\n";
    let again = "A poem\n\nYour last version was not approved. Make a new one.";
    assert_eq!(
        flow,
        [
            "w < : A poem".to_owned(),
            format!("c < w: {judge}long"),
            format!("w < c: {again}\n\n## Your last version\n\nlong\n\n## c\n\nshorter"),
            format!("c < w: {judge}short"),
        ]
    );
    assert_eq!((done.text(), done.approved, done.rounds), ("short", Some(true), 2));
}

#[tokio::test]
async fn a_reflection_ends_with_its_rounds_too() {
    let rt = runtime();
    let reviews =
        [json!({ "approved": false, "feedback": "no" }), json!({ "approved": false, "feedback": "still no" })];
    let team = Team::reflection(says(&rt, "w", &["1", "2"]).await, forms(&rt, "c", &[], &reviews).await).rounds(2);
    let (flow, done) = perform(&team, "A poem").await;
    assert_eq!((flow.len(), done.status, done.text(), done.approved), (4, Status::Limit, "2", Some(false)));
    let error = done.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("NOT_APPROVED", "c has not approved after 2 rounds: still no")
    );
}
