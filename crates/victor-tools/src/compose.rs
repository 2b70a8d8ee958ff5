//! Composition: tools and agents put together to one tool, each inner call judged for itself.
//!
//! A [`Flow`] is work from an input to an output. [`call`] and [`ask`] make one of a tool and of an agent; [`pipe`],
//! [`parallel`] and [`branch`] put flows together; [`Flow::into_tool`] makes a tool of the whole.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{BoxFuture, join_all};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use victor_core::agent::Agent;
use victor_core::error::ToolError;
use victor_core::message::text_of;
use victor_core::tool::{DynTool, Effects, IntoToolOutput, Plan, ToolCx, ToolOutput, ToolSpec, parameters_of};

type Work<I, O> = dyn Fn(I, ToolCx) -> BoxFuture<'static, Result<O, ToolError>> + Send + Sync;

/// Work from an `I` to an `O` that calls tools and agents. Cloning is cheap.
pub struct Flow<I, O> {
    effects: Effects,
    work: Arc<Work<I, O>>,
}

/// Calls a tool with the input as its arguments. A call that fails, or is denied, ends the whole flow.
pub fn call<A: Serialize + Send + 'static>(tool: Arc<dyn DynTool>) -> Flow<A, ToolOutput> {
    let effects = tool.spec().effects;
    Flow::new(effects, move |args: A, cx: ToolCx| {
        let tool = Arc::clone(&tool);
        async move {
            let args = serde_json::to_value(args).map_err(|e| ToolError::Model(e.to_string()))?;
            let output = cx.call_tool(&tool, args).await?;
            match output.is_error {
                true => Err(ToolError::Model(format!("`{}` failed: {}", tool.spec().name, text_of(&output.content)))),
                false => Ok(output),
            }
        }
    })
}

/// Gives an agent the input as its task; the output is its answer. `name` is what its calls are called in events and
/// rules.
#[must_use]
pub fn ask(agent: &Agent, name: &str) -> Flow<String, String> {
    let tool = agent.as_tool(name, "An agent that is a part of another tool.");
    call(tool).with(|task: String| json!({ "task": task })).map(|output| Ok(text_of(&output.content)))
}

/// Does nothing: the output is the input. With [`Flow::map`] a step of plain code.
#[must_use]
pub fn pass<A: Send + 'static>() -> Flow<A, A> {
    Flow::new(Effects::NONE, |input, _| async move { Ok(input) })
}

/// Does `first`, then `second` with what came of it.
pub fn pipe<A, B, C>(first: Flow<A, B>, second: Flow<B, C>) -> Flow<A, C>
where
    A: Send + 'static,
    B: Send + 'static,
    C: Send + 'static,
{
    let effects = first.effects | second.effects;
    Flow::new(effects, move |input, cx: ToolCx| {
        let (first, second) = (first.clone(), second.clone());
        async move {
            let between = first.run(input, cx.clone()).await?;
            second.run(between, cx).await
        }
    })
}

/// Does all of them at the same time with the same input; the outputs stand in the order of the flows. All come to
/// their end, also when one fails; then the first failure is what comes of it.
pub fn parallel<A, B>(flows: impl IntoIterator<Item = Flow<A, B>>) -> Flow<A, Vec<B>>
where
    A: Clone + Send + 'static,
    B: Send + 'static,
{
    let flows: Arc<[Flow<A, B>]> = flows.into_iter().collect();
    let effects = flows.iter().fold(Effects::NONE, |all, flow| all | flow.effects);
    Flow::new(effects, move |input: A, cx: ToolCx| {
        let running: Vec<_> = flows.iter().map(|flow| flow.run(input.clone(), cx.clone())).collect();
        async move { join_all(running).await.into_iter().collect() }
    })
}

/// Does `yes` where the condition holds for the input, else `no`.
pub fn branch<A, B>(
    condition: impl Fn(&A) -> bool + Send + Sync + 'static,
    yes: Flow<A, B>,
    no: Flow<A, B>,
) -> Flow<A, B>
where
    A: Send + 'static,
    B: Send + 'static,
{
    let effects = yes.effects | no.effects;
    Flow::new(effects, move |input, cx| if condition(&input) { yes.run(input, cx) } else { no.run(input, cx) })
}

impl<I: Send + 'static, O: Send + 'static> Flow<I, O> {
    fn new<F, Fut>(effects: Effects, work: F) -> Self
    where
        F: Fn(I, ToolCx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        Self { effects, work: Arc::new(move |input, cx| Box::pin(work(input, cx))) }
    }

    fn run(&self, input: I, cx: ToolCx) -> BoxFuture<'static, Result<O, ToolError>> {
        (self.work)(input, cx)
    }

    /// Does this, then `next` with what came of it.
    #[must_use]
    pub fn then<P: Send + 'static>(self, next: Flow<O, P>) -> Flow<I, P> {
        pipe(self, next)
    }

    /// The same with another output, made from this one.
    #[must_use]
    pub fn map<P: Send + 'static>(
        self,
        change: impl Fn(O) -> Result<P, ToolError> + Send + Sync + 'static,
    ) -> Flow<I, P> {
        let change = Arc::new(change);
        Flow::new(self.effects, move |input, cx| {
            let (running, change) = (self.run(input, cx), Arc::clone(&change));
            async move { change(running.await?) }
        })
    }

    /// The same with another input, which this one's is made from.
    #[must_use]
    pub fn with<J: Send + 'static>(self, make: impl Fn(J) -> I + Send + Sync + 'static) -> Flow<J, O> {
        Flow::new(self.effects, move |input, cx| self.run(make(input), cx))
    }
}

impl<I, O> Flow<I, O>
where
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: IntoToolOutput + Send + 'static,
{
    /// The flow as one tool, with `I` as its arguments. It can do what its parts can do; each of their calls is judged
    /// when it is made.
    #[must_use]
    pub fn into_tool(self, name: &str, description: &str) -> Arc<dyn DynTool> {
        let spec = Arc::new(ToolSpec::new(name, description, "composed", parameters_of::<I>(), self.effects));
        Arc::new(Composed { spec, flow: self })
    }
}

impl<I, O> Clone for Flow<I, O> {
    fn clone(&self) -> Self {
        Self { effects: self.effects, work: Arc::clone(&self.work) }
    }
}

struct Composed<I, O> {
    spec: Arc<ToolSpec>,
    flow: Flow<I, O>,
}

#[async_trait]
impl<I, O> DynTool for Composed<I, O>
where
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: IntoToolOutput + Send + 'static,
{
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        let input: I = serde_json::from_value(args).map_err(|e| ToolError::Model(e.to_string()))?;
        let flow = self.flow.clone();
        // What would ask is left to the inner calls, which know what they do: nobody is asked twice for one thing.
        let asked_within = |e: &Effects| self.spec.effects.contains(*e);
        let own = [Effects::READ, Effects::WRITE, Effects::AGENT].into_iter().filter(asked_within);
        let effects = own.fold(Effects::NONE, |all, e| all | e);
        Ok(Plan::new(effects, move |_permit, cx| async move { flow.run(input, cx).await?.into_output() }))
    }
}
