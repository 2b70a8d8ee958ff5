//! The nodes of a workflow, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use victor_core::permission::Mode;

use super::document::{Entries, Names};
use super::place::{At, Place, Source};
use super::team::TeamNode;

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What every node may say.
    pub common: Common,
    /// What it does.
    pub kind: NodeKind,
}

/// What every node may say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Common {
    /// Its name, once in a workflow.
    pub id: At<String>,
    /// What it is for, in a line.
    pub description: Option<String>,
    /// Where the run goes on; without it the path ends here.
    pub next: Option<Names>,
    /// The name of the state that its result is kept under; its id unless said otherwise.
    pub output: Option<At<String>>,
    /// Seconds that it may take.
    #[schemars(range(min = 0))]
    pub timeout: Option<At<f64>>,
    /// What happens when it fails; `fail` unless said otherwise.
    pub error_strategy: Option<At<ErrorStrategy>>,
    /// How often it is tried again, with `error_strategy: retry`; 3 unless said otherwise.
    #[schemars(range(max = 100))]
    pub retry_attempts: Option<At<u32>>,
    /// Seconds before it is tried again; 1 unless said otherwise.
    #[schemars(range(min = 0, max = 86400))]
    pub retry_delay: Option<At<f64>>,
    /// The node that a failure leads to, after all tries.
    pub on_error: Option<At<String>>,
}

/// What happens when a node fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorStrategy {
    /// The run goes to `on_error`, and fails without one.
    #[default]
    Fail,
    /// It is tried again; after the last try as `fail`.
    Retry,
    /// The run goes on as if it had ended well; the failure stands under `error`, and its result is missing.
    Continue,
}

/// What a node does.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(tag = "type", rename_all = "snake_case")]
pub enum NodeKind {
    /// An agent with a goal.
    Agent(Box<AgentNode>),
    /// A choice between branches.
    Condition(ConditionNode),
    /// A calculation on the state.
    Transform(TransformNode),
    /// Nodes at the same time.
    Parallel(ParallelNode),
    /// A question to a person.
    Hitl(HitlNode),
    /// One call of a tool.
    Tool(ToolNode),
    /// Agents that work together.
    Team(TeamNode),
    /// Another workflow.
    Workflow(WorkflowNode),
    /// Nothing; a place to meet.
    Passthrough(PassthroughNode),
}

/// The names of the node types.
pub(crate) const KINDS: [&str; 9] =
    ["agent", "condition", "transform", "parallel", "hitl", "tool", "team", "workflow", "passthrough"];

/// An agent with a goal.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct AgentNode {
    /// What it has to do; a template.
    #[schemars(with = "String")]
    pub goal: Source<String>,
    /// What it is, in a word or two.
    pub role: Option<String>,
    /// Further instructions; a template.
    #[schemars(with = "Option<String>")]
    pub system: Option<Source<String>>,
    /// The tools that it may use, by name or glob; all that the configuration offers unless said otherwise.
    pub tools: Option<Names>,
    /// Another word for `tools`; both together narrow.
    pub allowed_tools: Option<Names>,
    /// Tools that it may not use, by name or glob.
    pub forbidden_tools: Option<Names>,
    /// Calls of tools that it may make.
    pub tool_budget: Option<At<u32>>,
    /// The provider.
    pub provider: Option<At<String>>,
    /// The model.
    pub model: Option<At<String>>,
    /// A profile of the configuration.
    pub profile: Option<At<String>>,
    /// Sampling temperature.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<At<f64>>,
    /// Tokens of an answer at most.
    pub max_tokens: Option<At<u32>>,
    /// Model calls at most.
    #[schemars(range(min = 1))]
    pub max_turns: Option<At<u32>>,
    /// US dollars at most.
    #[schemars(range(min = 0))]
    pub max_cost: Option<At<f64>>,
    /// What it may do at most; the workflow's `metadata.mode` unless said otherwise. It can only narrow.
    pub mode: Option<At<Mode>>,
    /// A JSON schema that its answer must fit; the result then is that value.
    pub output_schema: Option<At<Value>>,
}

/// A choice between branches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ConditionNode {
    /// The expression that decides.
    #[schemars(with = "String")]
    pub condition: Source<String>,
    /// The node that each result leads to; `end` or nothing ends the path.
    pub branches: Entries<Option<At<String>>>,
    /// The node that every other result leads to.
    pub default: Option<At<String>>,
}

/// A calculation on the state.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct TransformNode {
    /// Which.
    pub transform: At<TransformKind>,
    /// The state that it reads: a name or path, or a list of them.
    pub input: Option<Names>,
    /// The field that `extract_field`, `aggregate` or `map` takes.
    pub field: Option<At<String>>,
    /// What `aggregate` does.
    pub operation: Option<At<Operation>>,
    /// The text that `format` makes, or the value that `map` makes of each `item`.
    #[schemars(with = "Option<Value>")]
    pub template: Option<Source<Value>>,
    /// The condition that each `item` must meet, of `filter`.
    #[schemars(with = "Option<String>")]
    pub condition: Option<Source<String>>,
    /// The state that `set` sets.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    pub values: Option<Source<Value>>,
}

/// The built-in transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransformKind {
    /// Puts results together.
    MergeResults,
    /// Takes a field.
    ExtractField,
    /// Makes one value of a list.
    Aggregate,
    /// Makes a value of each item of a list.
    Map,
    /// Keeps the items of a list that meet a condition.
    Filter,
    /// Makes a text.
    Format,
    /// Sets state.
    Set,
}

/// What `aggregate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The sum of numbers.
    Sum,
    /// Their mean.
    Average,
    /// The least number or text.
    Min,
    /// The greatest number or text.
    Max,
    /// How many there are.
    Count,
    /// The first item.
    First,
    /// The last item.
    Last,
    /// The texts, one after the other, each on its own line.
    Concat,
    /// All items as a list.
    Collect,
}

/// Nodes at the same time.
#[derive(Clone, Debug, JsonSchema)]
pub struct ParallelNode {
    /// The nodes, each with its own path.
    #[schemars(with = "Vec<super::schema::NodeSchema>")]
    pub nodes: Vec<Node>,
    /// What it says beside them.
    #[serde(flatten)]
    pub head: ParallelHead,
}

/// What a parallel node says beside its nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ParallelHead {
    /// How the results become one; `merge` unless said otherwise.
    pub join: Option<At<Join>>,
    /// How many of the nodes must end well; all unless said otherwise.
    pub wait_for: Option<At<WaitFor>>,
}

/// How the results of nodes at the same time become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// A mapping of each node's output name to its result.
    #[default]
    Merge,
    /// A list of the results, in the order of the file.
    List,
    /// The first result in the order of the file.
    First,
}

/// How many of several must end well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// All of them.
    #[default]
    All,
    /// One of them.
    Any,
    /// So many.
    Count(u32),
}

impl<'de> Deserialize<'de> for WaitFor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fail = || serde::de::Error::custom("`all`, `any` or a number of 1 or more is expected");
        match Value::deserialize(deserializer)? {
            Value::String(s) if s == "all" => Ok(Self::All),
            Value::String(s) if s == "any" => Ok(Self::Any),
            Value::Number(n) => {
                let count = n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
                count.map(Self::Count).ok_or_else(fail)
            }
            _ => Err(fail()),
        }
    }
}

impl JsonSchema for WaitFor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WaitFor".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How many of several must end well.",
            "anyOf": [{"enum": ["all", "any"]}, {"type": "integer", "minimum": 1}]
        })
    }
}

/// A question to a person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct HitlNode {
    /// What kind of question.
    pub hitl_type: At<HitlType>,
    /// The question; a template.
    #[schemars(with = "String")]
    pub prompt: Source<String>,
    /// The answers of `choice`. With `approval` and `confirmation` too one of them is the answer then, and one that says
    /// no (`no`, `reject`, `deny`, `abort`, `cancel`) is a no.
    pub options: Option<Vec<At<String>>>,
    /// The node that a no leads to; without it a no aborts the run.
    pub on_no: Option<At<String>>,
    /// What holds when nobody answers; `abort` unless said otherwise.
    pub fallback: Option<At<Fallback>>,
}

/// What kind of question a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HitlType {
    /// Yes, or the run is aborted (or goes to `on_no`).
    Approval,
    /// A text.
    Input,
    /// One of the options.
    Choice,
    /// Yes, or the run is aborted (or goes to `on_no`); a smaller question than an approval.
    Confirmation,
}

/// Whether an option says no.
pub(super) fn says_no(option: &str) -> bool {
    let word = option.trim().to_lowercase();
    matches!(
        word.as_str(),
        "no" | "n" | "reject" | "rejected" | "deny" | "denied" | "abort" | "cancel" | "decline" | "false"
    )
}

/// What holds when nobody answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Fallback {
    /// The run is aborted.
    #[default]
    Abort,
    /// The run goes on without an answer: the result is `null`, which is no yes.
    Continue,
    /// The run goes to this node.
    Node(String),
    /// This is the answer.
    Value(Value),
}

impl<'de> Deserialize<'de> for Fallback {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fail = || serde::de::Error::custom("`abort`, `continue`, a node's id or `{value: ..}` is expected");
        match Value::deserialize(deserializer)? {
            Value::String(s) if s == "abort" => Ok(Self::Abort),
            Value::String(s) if s == "continue" => Ok(Self::Continue),
            Value::String(s) => Ok(Self::Node(s)),
            Value::Object(mut map) if map.len() == 1 => map.remove("value").map(Self::Value).ok_or_else(fail),
            _ => Err(fail()),
        }
    }
}

impl JsonSchema for Fallback {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fallback".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What holds when nobody answers: abort, continue, a node's id, or a value as the answer.",
            "anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"value": {}}, "required": ["value"], "additionalProperties": false}
            ]
        })
    }
}

/// One call of a tool.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ToolNode {
    /// The tool's name.
    pub tool: At<String>,
    /// Its arguments; their texts are templates.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    pub arguments: Option<Source<Value>>,
}

/// Another workflow.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct WorkflowNode {
    /// Its name.
    pub workflow: At<String>,
    /// What it is given; the texts are templates.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    pub inputs: Option<Source<Value>>,
}

/// Nothing; a place to meet.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct PassthroughNode {}

impl Node {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.common.id
    }

    /// The name of the state that its result is kept under.
    #[must_use]
    pub fn output(&self) -> &str {
        self.common.output.as_ref().map_or(self.id(), |o| o.as_str())
    }

    /// The nodes in it.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        match &self.kind {
            NodeKind::Parallel(parallel) => &parallel.nodes,
            _ => &[],
        }
    }

    /// Whether it leaves a result in the state.
    #[must_use]
    pub fn has_result(&self) -> bool {
        match &self.kind {
            NodeKind::Condition(_) | NodeKind::Passthrough(_) => false,
            NodeKind::Transform(t) => *t.transform != TransformKind::Set || self.common.output.is_some(),
            NodeKind::Agent(_)
            | NodeKind::Parallel(_)
            | NodeKind::Hitl(_)
            | NodeKind::Tool(_)
            | NodeKind::Team(_)
            | NodeKind::Workflow(_) => true,
        }
    }
}

impl NodeKind {
    /// Its name in files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Condition(_) => "condition",
            Self::Transform(_) => "transform",
            Self::Parallel(_) => "parallel",
            Self::Hitl(_) => "hitl",
            Self::Tool(_) => "tool",
            Self::Team(_) => "team",
            Self::Workflow(_) => "workflow",
            Self::Passthrough(_) => "passthrough",
        }
    }
}
