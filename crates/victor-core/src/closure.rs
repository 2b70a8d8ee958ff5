//! Tools of one's own from a closure: the schema comes from the type of its arguments.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::effects::Effects;
use crate::error::ToolError;
use crate::message::Block;
use crate::tool::{DynTool, Plan, ToolCx, ToolOutput, ToolSpec, parameters_of};

/// A tool that does `work`. `effects` is the most that it does, and what each of its calls is judged by: a closure has
/// no plan of its own to say less.
pub fn tool_fn<A, F, Fut, O>(name: &str, description: &str, effects: Effects, work: F) -> Arc<dyn DynTool>
where
    A: DeserializeOwned + JsonSchema + Send + 'static,
    F: Fn(A, ToolCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ToolError>> + Send + 'static,
    O: IntoToolOutput,
{
    let spec = Arc::new(ToolSpec::new(name, description, "custom", parameters_of::<A>(), effects));
    let parse = |args| serde_json::from_value::<A>(args).map_err(|e| ToolError::Model(e.to_string()));
    Arc::new(Closure { spec, parse, work: Arc::new(work) })
}

/// What a tool may answer with.
pub trait IntoToolOutput {
    /// The answer.
    ///
    /// # Errors
    /// It cannot be written down.
    fn into_output(self) -> Result<ToolOutput, ToolError>;
}

/// An answer for programs, told to the model as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl IntoToolOutput for ToolOutput {
    fn into_output(self) -> Result<ToolOutput, ToolError> {
        Ok(self)
    }
}

impl IntoToolOutput for String {
    fn into_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text(self))
    }
}

impl IntoToolOutput for &str {
    fn into_output(self) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text(self))
    }
}

impl<T: Serialize> IntoToolOutput for Json<T> {
    fn into_output(self) -> Result<ToolOutput, ToolError> {
        let value = serde_json::to_value(self.0).map_err(|e| ToolError::Model(e.to_string()))?;
        Ok(ToolOutput::text(value.to_string()).structured(value))
    }
}

/// All contents in order; failed if one of them is.
impl<O: IntoToolOutput> IntoToolOutput for Vec<O> {
    fn into_output(self) -> Result<ToolOutput, ToolError> {
        let parts = self.into_iter().map(O::into_output).collect::<Result<Vec<_>, _>>()?;
        let structured = parts.iter().any(|p| p.structured.is_some());
        Ok(ToolOutput {
            is_error: parts.iter().any(|p| p.is_error),
            structured: structured
                .then(|| parts.iter().map(|p| p.structured.clone().unwrap_or(Value::String(text(p)))).collect()),
            content: parts.into_iter().flat_map(|p| p.content).collect::<Vec<Block>>(),
        })
    }
}

fn text(output: &ToolOutput) -> String {
    crate::message::text_of(&output.content)
}

struct Closure<P, F> {
    spec: Arc<ToolSpec>,
    parse: P,
    work: Arc<F>,
}

#[async_trait]
impl<A, P, F, Fut, O> DynTool for Closure<P, F>
where
    A: Send + 'static,
    P: Fn(Value) -> Result<A, ToolError> + Send + Sync + 'static,
    F: Fn(A, ToolCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, ToolError>> + Send + 'static,
    O: IntoToolOutput,
{
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        let args = (self.parse)(args)?;
        let work = Arc::clone(&self.work);
        Ok(Plan::new(self.spec.effects, move |_permit, cx| async move { work(args, cx).await?.into_output() }))
    }
}
