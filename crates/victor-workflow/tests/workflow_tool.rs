//! An agent that runs workflows: in its own run, under its own limits, with its own people.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod documents;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use documents::{builder, script};
use futures::StreamExt;
use serde_json::{Value, json};
use victor_core::agent::{Agent, AgentSpec, DryRun, Outcome, Status};
use victor_core::event::{Event, EventKind};
use victor_core::journal::JournalFilter;
use victor_core::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope, Mode, Rule, RuleEffect, Rules};
use victor_core::question::{Question, Reply};
use victor_core::runtime::Runtime;
use victor_core::testing::ScriptedProvider;
use victor_core::usage::{Budget, Limit};
use victor_workflow::Workflows;
use victor_workflow::error::WorkflowError;
use victor_workflow::graph::StateGraph;
use victor_workflow::library::{Layer, Library, SourceFile};
use victor_workflow::node::NodeOutput;
use victor_workflow::options::RunOptions;
use victor_workflow::registry::{Listing, Reach, Registered, WorkflowRegistry, WorkflowSource};
use victor_workflow::template::Environment;
use victor_workflow::workflow_tool::{RUN_WORKFLOW, WorkflowTools};
use victor_workflow::yaml::{Known, load};

const FILE: &str = r#"
workflows:
  gate:
    description: Asks before it writes
    inputs: {who: {type: string, required: true}, how: {type: string, default: loudly}}
    nodes:
      - {id: ok, type: hitl, hitl_type: approval, prompt: "Greet {{ who }}?", fallback: abort, next: [say]}
      - {id: say, type: tool, tool: deploy, arguments: {path: "{{ who }}"}, output: said}
  work:
    nodes:
      - {id: a, type: agent, goal: "Work", tools: ["*"], output: words}
  crew:
    nodes:
      - {id: t, type: team, team: pipeline, task: "Plan it", members: [{name: a}, {name: b}], output: plan}
  quiet:
    nodes:
      - {id: a, type: agent, goal: "Work", output: words}
"#;

/// Says these words to the questions of calls and of people, and notes them.
struct Person {
    calls: Decision,
    people: Reply,
    asked: Mutex<Vec<String>>,
}

impl Person {
    fn new(people: Reply) -> Arc<Self> {
        Arc::new(Self { calls: Decision::Allow(GrantScope::Once), people, asked: Mutex::default() })
    }
}

#[async_trait]
impl Approver for Person {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        self.asked.lock().unwrap().push(request.tool.clone());
        Answer::Decided(self.calls.clone())
    }

    async fn question(&self, question: &Question) -> Reply {
        self.asked.lock().unwrap().push(question.prompt.clone());
        self.people.clone()
    }
}

fn runtime(model: &Arc<ScriptedProvider>) -> Runtime {
    with_rules(model, Rules::default())
}

fn with_rules(model: &Arc<ScriptedProvider>, rules: Rules) -> Runtime {
    let registry = WorkflowRegistry::new();
    let files = vec![SourceFile { path: "own.yaml".to_owned(), text: FILE.to_owned() }];
    assert!(Library::new(&[Layer { files, ..Layer::default() }]).register(&registry).is_empty());
    let rt = builder(model).tools(Arc::new(WorkflowTools::new(registry.clone()))).rules(rules).build().unwrap();
    rt.insert(registry);
    rt
}

fn call(workflow: &str, input: Value) -> Value {
    json!({"calls": [[RUN_WORKFLOW, {"workflow": workflow, "input": input}]]})
}

async fn agent(rt: &Runtime, spec: AgentSpec, person: &Arc<Person>) -> Agent {
    Agent::create(rt, spec).await.unwrap().with_approver(Arc::clone(person) as _)
}

async fn events(agent: &Agent) -> (Vec<Event>, Outcome) {
    let events: Vec<Event> = agent.astream("Greet Ada").collect().await;
    let EventKind::Finished { outcome } = &events.last().unwrap().kind else { panic!("no end") };
    let outcome = Outcome::clone(outcome);
    assert!(events.iter().enumerate().all(|(n, e)| e.seq == n as u64), "the events have gaps");
    (events, outcome)
}

/// What the model heard at last, as text.
fn heard(model: &Arc<ScriptedProvider>) -> String {
    let last = model.seen().last().cloned().unwrap();
    json!(last.iter().map(|m| m.content.clone()).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn the_person_of_the_agents_run_answers_and_the_events_stand_below_the_call() {
    let model = script(&[call("gate", json!({"who": "Ada"})), json!("Done.")]);
    let rt = runtime(&model);
    let person = Person::new(Reply::Answer(json!(true)));
    let (events, outcome) = events(&agent(&rt, AgentSpec::default(), &person).await).await;
    assert_eq!((outcome.status, outcome.text()), (Status::Completed, "Done."));
    assert_eq!(*person.asked.lock().unwrap(), ["Greet Ada?", "deploy"]);
    assert!(heard(&model).contains("content of Ada"), "{}", heard(&model));
    assert_eq!(
        outcome.tools_used,
        ["deploy", RUN_WORKFLOW].map(String::from).iter().rev().cloned().collect::<Vec<_>>()
    );
    let below = |e: &Event| e.path.first().map(String::as_str) == Some("call_0");
    let inner: Vec<&Event> = events.iter().filter(|e| below(e)).collect();
    assert!(matches!(&inner[0].kind, EventKind::WorkflowStarted { workflow, .. } if workflow == "gate"));
    let call = inner.iter().find(|e| matches!(e.kind, EventKind::ToolCall { .. })).unwrap();
    assert_eq!(call.path, ["call_0", "say"]);
    assert!(matches!(inner.last().unwrap().kind, EventKind::Finished { .. }));
    let runs = Workflows::of(&rt).list(&JournalFilter { limit: 9, ..JournalFilter::default() }).await.unwrap();
    assert_eq!(
        runs.iter().map(|r| (r.workflow.as_str(), r.status.name())).collect::<Vec<_>>(),
        [("gate", "completed")]
    );
}

#[tokio::test]
async fn a_no_and_nobody_end_it_at_its_gate() {
    for people in [Reply::Answer(json!(false)), Reply::Nobody, Reply::Later] {
        let model = script(&[call("gate", json!({"who": "Ada"})), json!("I may not.")]);
        let person = Person::new(people.clone());
        let (_, outcome) = events(&agent(&runtime(&model), AgentSpec::default(), &person).await).await;
        assert_eq!(outcome.status, Status::Completed);
        assert!(outcome.denied[0].reason.contains("stopped at a gate"), "{people:?}: {:?}", outcome.denied);
        assert_eq!(*person.asked.lock().unwrap(), ["Greet Ada?"], "{people:?}: the call behind the gate was reached");
        assert!(heard(&model).contains("stopped at a gate"));
    }
}

#[tokio::test]
async fn it_is_judged_by_mode_and_rules_as_any_call() {
    let yes = || Person::new(Reply::Answer(json!(true)));
    let gate = || call("gate", json!({"who": "Ada"}));
    let model = script(&[gate(), json!("no")]);
    let plan = AgentSpec { mode: Some(Mode::Plan), ..AgentSpec::default() };
    events(&agent(&runtime(&model), plan, &yes()).await).await;
    assert!(heard(&model).contains("no tool `run_workflow` here"), "{}", heard(&model));

    let rule = |effect, text| Rules::new(vec![Rule::parse(effect, text, "test").unwrap()]);
    let model = script(&[gate(), call("work", json!({})), json!("worked"), json!("no")]);
    let rt = with_rules(&model, rule(RuleEffect::Deny, "run_workflow(ga*)"));
    let (_, outcome) = events(&agent(&rt, AgentSpec::default(), &yes()).await).await;
    assert_eq!(outcome.denied.len(), 1, "{:?}", outcome.denied);
    assert!(heard(&model).contains("worked"), "a rule for one workflow holds for another: {}", heard(&model));

    let model = script(&[gate(), json!("no")]);
    let rt = with_rules(&model, rule(RuleEffect::Ask, "run_workflow(gate)"));
    let person = yes();
    let agent = agent(&rt, AgentSpec::default(), &person).await;
    let (events, _) = events(&agent).await;
    assert_eq!(*person.asked.lock().unwrap(), [RUN_WORKFLOW, "Greet Ada?", "deploy"]);
    let asked = events.iter().find_map(|e| match &e.kind {
        EventKind::Approval { request } if request.tool == RUN_WORKFLOW => Some(request.preview.clone()),
        _ => None,
    });
    let preview = json!(asked.unwrap()).to_string();
    assert!(preview.contains("workflow gate") && preview.contains("Ada") && preview.contains("ok (hitl)"), "{preview}");
}

#[tokio::test]
async fn its_tools_sandbox_dry_run_and_budget_are_the_agents() {
    let yes = || Person::new(Reply::Answer(json!(true)));
    let gate = || call("gate", json!({"who": "Ada"}));
    let model = script(&[gate(), json!("no")]);
    let only = AgentSpec { tools: Some(vec![RUN_WORKFLOW.to_owned()]), ..AgentSpec::default() };
    events(&agent(&runtime(&model), only, &yes()).await).await;
    assert!(heard(&model).contains("no tool `deploy` here"), "{}", heard(&model));

    let model = script(&[gate(), json!("no")]);
    let dry = AgentSpec { dry_run: DryRun::On, ..AgentSpec::default() };
    events(&agent(&runtime(&model), dry, &yes()).await).await;
    assert!(heard(&model).contains("dry run: nothing was changed"), "{}", heard(&model));

    let model = script(&[call("work", json!({})), json!({"calls": [["read", {}]]}), json!("a"), json!("b")]);
    let few = AgentSpec { budget: Budget { max_turns: Some(2), ..Budget::default() }, ..AgentSpec::default() };
    let (_, outcome) = events(&agent(&runtime(&model), few, &yes()).await).await;
    assert_eq!((outcome.status, outcome.limit, model.seen().len()), (Status::Limit, Some(Limit::Turns), 2));

    let model = script(&[call("work", json!({})), json!("worked"), json!("Done.")]);
    let (_, outcome) = events(&agent(&runtime(&model), AgentSpec::default(), &yes()).await).await;
    let one = script(&[json!("Done.")]);
    let (_, alone) = events(&agent(&runtime(&one), AgentSpec::default(), &yes()).await).await;
    assert!(alone.usage.total() > 0);
    assert_eq!(outcome.usage.total(), 2 * alone.usage.total(), "the agent of the workflow is not counted");
}

#[tokio::test]
async fn a_workflow_that_comes_to_run_itself_is_stopped() {
    let again = || call("work", json!({}));
    let model = script(&[again(), again(), again(), again(), again(), json!("enough")]);
    let person = Person::new(Reply::Nobody);
    let rt = runtime(&model);
    let agent = agent(&rt, AgentSpec::default(), &person).await;
    let run: Vec<Event> = agent.astream("Work").take_while(|e| std::future::ready(e.seq < 10_000)).collect().await;
    let all =
        json!(model.seen().iter().map(|h| h.iter().map(|m| m.content.clone()).collect::<Vec<_>>()).collect::<Vec<_>>());
    assert!(all.to_string().contains("at most 4 deep inside of each other"), "{all}");
    assert!(all.to_string().contains("work > work > work > work > work"), "{all}");
    assert!(run.len() < 10_000);
}

#[tokio::test]
async fn who_has_it_and_what_it_says() {
    let model = script(&[]);
    let rt = runtime(&model);
    let person = Person::new(Reply::Nobody);
    let offered = agent(&rt, AgentSpec::default(), &person).await.tools().await;
    let spec = Arc::clone(offered.get(RUN_WORKFLOW).unwrap().spec());
    assert!(spec.description.contains("- gate(who, how?): Asks before it writes"), "{}", spec.description);
    let again = agent(&rt, AgentSpec::default(), &person).await.tools().await;
    assert_eq!(again.get(RUN_WORKFLOW).unwrap().spec().description, spec.description);
    // Without workflows of one's own only those have it who name it.
    let registry = WorkflowRegistry::new();
    let rt = builder(&model).tools(Arc::new(WorkflowTools::new(registry))).build().unwrap();
    assert!(agent(&rt, AgentSpec::default(), &person).await.tools().await.get(RUN_WORKFLOW).is_none());
    let named = AgentSpec { tools: Some(vec!["run_*".to_owned()]), ..AgentSpec::default() };
    let named = agent(&rt, named, &person).await.tools().await;
    assert!(named.get(RUN_WORKFLOW).unwrap().spec().description.contains("code_review"));
    // An agent of a workflow has it only where its node says so.
    let model = script(&[call("work", json!({})), call("quiet", json!({})), json!("x"), json!("y"), json!("z")]);
    events(&agent(&runtime(&model), AgentSpec::default(), &person).await).await;
    assert_eq!(model.seen().len(), 5);
    let model = script(&[call("quiet", json!({})), call("work", json!({})), json!("x"), json!("y")]);
    events(&agent(&runtime(&model), AgentSpec::default(), &person).await).await;
    let inner = json!(model.seen()[2].iter().map(|m| m.content.clone()).collect::<Vec<_>>()).to_string();
    assert!(inner.contains("no tool `run_workflow` here"), "{inner}");
}

#[tokio::test]
async fn a_team_of_a_file_is_used_as_a_tool_so() {
    let model = script(&[call("crew", json!({})), json!("from a"), json!("from b"), json!("Done.")]);
    let person = Person::new(Reply::Nobody);
    let (events, outcome) = events(&agent(&runtime(&model), AgentSpec::default(), &person).await).await;
    assert_eq!(outcome.text(), "Done.");
    assert!(heard(&model).contains("from b"), "{}", heard(&model));
    let told: Vec<_> = events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::MemberMessage { from, text } => Some((e.path.join("/"), from.join("+"), text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [("call_0/t/a".to_owned(), String::new(), "Plan it"), ("call_0/t/b".to_owned(), "a".to_owned(), "from a"),]
    );
}

#[tokio::test]
async fn mistakes_are_told_before_anything_runs() {
    let wrong = json!({"calls": [[RUN_WORKFLOW, {"workflow": "gaet"}], [RUN_WORKFLOW, {"workflow": "gate"}], [RUN_WORKFLOW, {"workflow": "gate", "inputs": {}}]]});
    let model = script(&[wrong, json!("oh")]);
    let person = Person::new(Reply::Answer(json!(true)));
    let (events, _) = events(&agent(&runtime(&model), AgentSpec::default(), &person).await).await;
    let heard = heard(&model);
    for word in ["did you mean `gate`?", "needs the input `who`", "'inputs' was unexpected"] {
        assert!(heard.contains(word), "`{word}` is not in {heard}");
    }
    assert!(!events.iter().any(|e| matches!(e.kind, EventKind::WorkflowStarted { .. })));
}

/// A folder that nobody trusts, with the workflow `theirs`.
struct Strange;

impl WorkflowSource for Strange {
    fn find(&self, name: &str) -> Result<Option<Registered>, WorkflowError> {
        let mut graph = StateGraph::new("theirs");
        graph.compute("a", |_| Ok(NodeOutput::set("a", json!("theirs"))));
        let found = Registered { workflow: graph.compile()?, source: "theirs.yaml".to_owned(), inputs: None };
        Ok((name == "theirs").then_some(found))
    }

    fn open(&self, _: &str, _: Option<&str>, _: Reach) -> Result<Registered, WorkflowError> {
        Err(WorkflowError::State("it has no files".to_owned()))
    }

    fn list(&self) -> Listing {
        Listing::default()
    }

    fn has_untrusted(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn agents_of_scheduled_runs_run_nothing_of_a_folder_that_is_not_trusted() {
    let text = "workflows: {own: {nodes: [{id: a, type: agent, goal: Go, tools: [run_workflow]}]}}";
    let own = load("own.yaml", text, &Environment::default(), &Known::default()).unwrap();
    let own = own.compile("own", &|_| None).unwrap().workflow;
    for (owner, runs) in [("schedule:tick", 1), ("somebody", 2)] {
        let model = script(&[call("theirs", json!({})), json!("Done.")]);
        let registry = WorkflowRegistry::with_source(Arc::new(Strange));
        let rt = builder(&model).tools(Arc::new(WorkflowTools::new(registry.clone()))).build().unwrap();
        rt.insert(registry);
        let workflows = Workflows::of(&rt);
        let options = RunOptions { owner: Some(owner.to_owned()), ..RunOptions::default() };
        let run = workflows.start(&own, json!({}), options).await.unwrap();
        assert_eq!(run.outcome().await.unwrap().status.name(), "completed");
        let heard = heard(&model);
        assert_eq!(heard.contains("victor workspace trust"), runs == 1, "{heard}");
        let filter = JournalFilter { limit: 10, ..JournalFilter::default() };
        assert_eq!(workflows.list(&filter).await.unwrap().len(), runs, "{owner}");
    }
}
