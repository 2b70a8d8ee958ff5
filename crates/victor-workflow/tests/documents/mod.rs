//! What the tests of workflow files share: a runtime with a scripted model, a few tools, and people with set answers.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use victor_core::error::{ToolError, VictorError};
use victor_core::provider::{Model, ModelInfo, ProviderInfo, ProviderRegistry, Selector};
use victor_core::question::{Interviewer, Question, Reply};
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::testing::{ScriptedProvider, TestClock, reply_calls, reply_text};
use victor_core::tool::{DynTool, Effects, Plan, Tool, ToolCx, ToolOutput, ToolSource, erase};

/// A model that says what its script says.
pub(crate) struct Scripted(pub(crate) Arc<ScriptedProvider>);

#[async_trait]
impl ProviderRegistry for Scripted {
    async fn resolve(&self, _: &Selector) -> Result<Model, VictorError> {
        Ok(self.0.model())
    }

    async fn fallbacks(&self, _: &Model) -> Vec<Model> {
        Vec::new()
    }

    fn providers(&self) -> Vec<ProviderInfo> {
        Vec::new()
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

/// A script from JSON: texts, values as JSON, and `{"calls": [[tool, arguments]]}`.
pub(crate) fn script(replies: &[Value]) -> Arc<ScriptedProvider> {
    ScriptedProvider::new(replies.iter().map(|reply| match reply {
        Value::String(text) => reply_text(text),
        reply => match reply.get("calls").and_then(Value::as_array) {
            None => reply_text(&reply.to_string()),
            Some(calls) => {
                let call = |c: &Value| (c[0].as_str().unwrap_or_default().to_owned(), c[1].clone());
                let calls: Vec<(String, Value)> = calls.iter().map(call).collect();
                let calls: Vec<(&str, Value)> =
                    calls.iter().map(|(name, args)| (name.as_str(), args.clone())).collect();
                reply_calls(&calls)
            }
        },
    }))
}

/// People who answer the questions of some nodes.
pub(crate) struct People(pub(crate) HashMap<String, Value>);

#[async_trait]
impl Interviewer for People {
    async fn ask(&self, question: &Question) -> Reply {
        self.0.get(&question.node).cloned().map_or(Reply::Nobody, Reply::Answer)
    }
}

/// A runtime whose only model is `model`, with the tools `read`, `grep`, `bash` and `flaky`.
pub(crate) fn runtime(model: &Arc<ScriptedProvider>) -> Runtime {
    builder(model).build().unwrap()
}

/// The same, to be added to.
pub(crate) fn builder(model: &Arc<ScriptedProvider>) -> RuntimeBuilder {
    let registry = Arc::new(Scripted(Arc::clone(model)));
    Runtime::builder().clock(TestClock::default()).providers(registry).tools(Arc::new(Tools::new()))
}

#[derive(Deserialize, JsonSchema)]
struct Anything {
    path: Option<String>,
    /// How often it fails first.
    fail: Option<u64>,
}

/// Stands for tools of several names, whose answer tells what they were given.
struct Stand<const KIND: u8> {
    calls: AtomicU64,
}

macro_rules! stand {
    ($kind:literal, $name:literal, $effects:expr) => {
        impl Tool for Stand<$kind> {
            const NAME: &'static str = $name;
            type Args = Anything;

            fn description(&self) -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn effects(&self) -> Effects {
                $effects
            }

            async fn plan(&self, args: Anything, _: &ToolCx) -> Result<Plan, ToolError> {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                Ok(Plan::new($effects, move |_, _| async move {
                    if args.fail.is_some_and(|times| call < times) {
                        return Err(ToolError::Model("out of order".to_owned()));
                    }
                    Ok(ToolOutput::text(args.path.map_or("ok".to_owned(), |path| format!("content of {path}"))))
                }))
            }
        }
    };
}
stand!(0, "read", Effects::READ);
stand!(1, "grep", Effects::READ);
stand!(2, "flaky", Effects::READ);
stand!(3, "write", Effects::READ | Effects::WRITE);
stand!(4, "find_files", Effects::READ);
stand!(5, "ls", Effects::READ);
stand!(6, "git_log", Effects::READ);
stand!(7, "git_diff", Effects::READ);
stand!(8, "bash", Effects::READ);
stand!(9, "deploy", Effects::READ | Effects::EXECUTE);

struct Tools(Vec<Arc<dyn DynTool>>);

impl Tools {
    fn new() -> Self {
        fn of<const KIND: u8>() -> Stand<KIND> {
            Stand { calls: AtomicU64::new(0) }
        }
        Self(vec![
            erase(of::<0>()),
            erase(of::<1>()),
            erase(of::<2>()),
            erase(of::<3>()),
            erase(of::<4>()),
            erase(of::<5>()),
            erase(of::<6>()),
            erase(of::<7>()),
            erase(of::<8>()),
            erase(of::<9>()),
        ])
    }
}

#[async_trait]
impl ToolSource for Tools {
    fn name(&self) -> &'static str {
        "test"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.0.clone()
    }
}
