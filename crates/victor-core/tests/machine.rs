//! Any interleaving of answers, failures, cancels and reloads: the machine always ends, never loops for ever, and says
//! only what is due.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;
use victor_core::agent::machine::{Answered, End, Judgement, Machine, Recovery, Reply, Setup, Step};
use victor_core::error::ProviderErrorKind;
use victor_core::id::{CallId, RunId, Timestamp};
use victor_core::provider::StopReason;
use victor_core::usage::{Budget, Limit, Spent};

#[derive(Clone, Debug)]
enum Luck {
    Answer { calls: u64, stop: u8, text: u8, context: u64 },
    Fail(ProviderErrorKind, Option<u64>),
    Cancel,
    Expire,
    Crash,
    Reload,
}

fn luck() -> impl Strategy<Value = Luck> {
    let kinds = prop::sample::select(vec![
        ProviderErrorKind::RateLimited,
        ProviderErrorKind::Server,
        ProviderErrorKind::Authentication,
        ProviderErrorKind::ContextLength,
        ProviderErrorKind::Truncated,
    ]);
    prop_oneof![
        6 => (0..4u64, 0..6u8, 0..2u8, 0..3000u64)
            .prop_map(|(calls, stop, text, context)| Luck::Answer { calls, stop, text, context }),
        3 => (kinds, prop::option::of(0..300u64)).prop_map(|(kind, after)| Luck::Fail(kind, after)),
        1 => Just(Luck::Cancel),
        1 => Just(Luck::Expire),
        1 => Just(Luck::Crash),
        2 => Just(Luck::Reload),
    ]
}

fn stop(n: u8) -> StopReason {
    match n {
        0 => StopReason::EndTurn,
        1 => StopReason::ToolUse,
        2 => StopReason::MaxTokens,
        3 => StopReason::Refusal,
        4 => StopReason::Pause,
        _ => StopReason::Other("odd".into()),
    }
}

fn machine(max_turns: u32) -> Machine {
    let budget = Budget { max_turns: Some(max_turns), ..Budget::default() };
    let run = RunId(Uuid::from_u128(7));
    let setup = Setup { run, budget, window: Some(2000), fallbacks: 1, context: 10 };
    Machine::new(setup, Timestamp::from_micros(0))
}

fn reload(machine: Machine) -> Machine {
    let text = serde_json::to_string(&machine).unwrap();
    let read: Machine = serde_json::from_str(&text).unwrap();
    assert_eq!(read, machine, "a machine that was written down reads back as another one");
    read
}

proptest! {
    #[test]
    fn it_ends_and_only_says_what_is_due(
        lucks in prop::collection::vec(luck(), 1..60),
        judged in prop::collection::vec(0..5u8, 1..40),
        max_turns in 1..8u32,
    ) {
        let mut machine = machine(max_turns);
        let mut lucks = lucks.into_iter();
        let mut judged = judged.into_iter().cycle();
        let (mut calls, mut steps, mut answered, mut open) = (0u64, 0u32, 0u32, Vec::<CallId>::new());
        let mut delays = 0;
        let end = loop {
            steps += 1;
            prop_assert!(steps < 4000, "it goes on for ever");
            let step = machine.next(&Spent::default(), Timestamp::from_micros(i64::from(steps)));
            prop_assert_eq!(&step, &machine.next(&Spent::default(), Timestamp::from_micros(i64::from(steps))),
                "asking twice gives two steps");
            match step {
                Step::CallModel { turn } => {
                    prop_assert!(open.is_empty(), "the model is called with open calls");
                    prop_assert_eq!(turn, answered + 1);
                    prop_assert!(turn <= max_turns, "beyond the turn limit");
                    match lucks.next() {
                        None => {
                            machine.model_done(Answered { calls: vec![], stop: StopReason::EndTurn, has_text: true, context: 1 }).unwrap();
                            answered += 1;
                        }
                        Some(Luck::Answer { calls: n, stop: s, text, context }) => {
                            open = (calls..calls + n).map(CallId::nth).collect();
                            calls += n;
                            answered += 1;
                            let answer = Answered { calls: open.clone(), stop: stop(s), has_text: text == 1, context };
                            machine.model_done(answer).unwrap();
                        }
                        Some(Luck::Fail(kind, after)) => {
                            let recovery = machine.model_failed(kind, after.map(Duration::from_secs));
                            if let Recovery::Retry { after, attempt } = recovery {
                                prop_assert!(kind.is_retryable() && attempt <= 4);
                                prop_assert!(after <= Duration::from_mins(2));
                            }
                        }
                        Some(Luck::Cancel) => machine.cancel(),
                        Some(Luck::Expire) => machine.expire(),
                        Some(Luck::Crash) => machine.fail(),
                        Some(Luck::Reload) => machine = reload(machine),
                    }
                }
                Step::Plan(planned) => {
                    prop_assert_eq!(&planned, &open);
                    let verdicts = planned.into_iter().map(|id| {
                        let judgement = match judged.next() {
                            Some(0) => Judgement::Ask,
                            Some(1) => Judgement::Denied,
                            Some(2) => Judgement::Failed,
                            _ => Judgement::Run,
                        };
                        (id, judgement)
                    });
                    machine.planned(verdicts.collect()).unwrap();
                }
                Step::Ask(asked) => {
                    prop_assert!(!asked.is_empty());
                    let reply = match judged.next() {
                        Some(0) if delays < 5 => Reply::Later,
                        Some(1) => Reply::Deny,
                        Some(2) => Reply::Abort,
                        _ => Reply::Allow,
                    };
                    machine.answered(&asked[0], reply).unwrap();
                    machine = reload(machine);
                }
                Step::Run(run) => {
                    prop_assert!(run.iter().all(|id| open.contains(id)));
                    open.clear();
                    machine.tools_done(500).unwrap();
                }
                Step::Compact => machine.compacted(1900, if judged.next() == Some(0) { 1890 } else { 300 }).unwrap(),
                Step::Done(End::Waiting) => {
                    delays += 1;
                    let again = open.clone();
                    machine = reload(machine);
                    machine.resume(again, Timestamp::from_micros(i64::from(steps)));
                }
                Step::Done(end) => break end,
            }
        };
        machine.cancel();
        machine.fail();
        let still = machine.next(&Spent::default(), Timestamp::from_micros(0));
        prop_assert_eq!(still, Step::Done(end), "an ended run changed how it ended");
    }
}

#[test]
fn it_gives_up_compacting_without_progress() {
    let mut machine = machine(50);
    let long = Answered { calls: vec![CallId::nth(0)], stop: StopReason::ToolUse, has_text: false, context: 1900 };
    machine.next(&Spent::default(), Timestamp::default());
    machine.model_done(long).unwrap();
    machine.planned(vec![(CallId::nth(0), Judgement::Run)]).unwrap();
    machine.tools_done(1950).unwrap();
    assert_eq!(machine.next(&Spent::default(), Timestamp::default()), Step::Compact);
    machine.compacted(1950, 1900).unwrap();
    let end = machine.next(&Spent::default(), Timestamp::default());
    assert_eq!(end, Step::Done(End::Limit(Limit::Context)));
}

#[test]
fn three_turns_of_nothing_but_denials_end_the_run() {
    let mut machine = machine(50);
    for turn in 0..3 {
        assert!(matches!(machine.next(&Spent::default(), Timestamp::default()), Step::CallModel { .. }));
        let id = CallId::nth(turn);
        let answer = Answered { calls: vec![id.clone()], stop: StopReason::ToolUse, has_text: false, context: 10 };
        machine.model_done(answer).unwrap();
        machine.planned(vec![(id, Judgement::Denied)]).unwrap();
        machine.tools_done(10).unwrap();
    }
    assert_eq!(machine.next(&Spent::default(), Timestamp::default()), Step::Done(End::Denied));
}

#[test]
fn limits_end_the_run_before_the_next_call() {
    let spent =
        Spent { usage: victor_core::usage::Usage { input: 90, output: 20, ..Default::default() }, ..Spent::default() };
    let budget = Budget { max_tokens: Some(100), max_time: Some(Duration::from_secs(5)), ..Budget::default() };
    let setup = Setup { run: RunId(Uuid::nil()), budget, window: None, fallbacks: 0, context: 0 };
    let mut tokens = Machine::new(setup, Timestamp::default());
    assert_eq!(tokens.next(&spent, Timestamp::default()), Step::Done(End::Limit(Limit::Tokens)));
    let mut time = Machine::new(setup, Timestamp::default());
    assert_eq!(time.next(&Spent::default(), Timestamp::from_micros(5_000_001)), Step::Done(End::Limit(Limit::Time)));
}
