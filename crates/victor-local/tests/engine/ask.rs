//! Asking a model, and what it answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candle_core::quantized::GgmlDType;
use futures::StreamExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use victor_core::assemble::{Assembler, Completion};
use victor_core::error::ProviderError;
use victor_core::message::Message;
use victor_core::provider::{ChunkStream, ModelInfo, Provider as _};
use victor_core::request::{CallCx, Params, Request, ToolChoice};
use victor_core::tool::{Effects, ToolSpec};
use victor_local::{Installed, LocalProvider, Resolver, Sampling, Tuning};

use crate::tiny::{self, Kind};

/// A provider of one file, and the folder that the file is in.
pub(crate) struct Local {
    pub(crate) provider: LocalProvider,
    _folder: Option<TempDir>,
}

struct One(Installed);

#[async_trait]
impl Resolver for One {
    async fn resolve(&self, _: &str, _: &CallCx) -> Result<Installed, ProviderError> {
        Ok(self.0.clone())
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }
}

impl Local {
    /// A tiny model; greedy where the request does not say otherwise.
    pub(crate) fn tiny(kind: Kind) -> Self {
        Self::tiny_with(kind, Sampling::default())
    }

    /// A tiny model with this sampling.
    pub(crate) fn tiny_with(kind: Kind, sampling: Sampling) -> Self {
        Self::tiny_of(kind, GgmlDType::Q8_0, sampling)
    }

    /// A tiny model with weights of this kind.
    pub(crate) fn tiny_of(kind: Kind, dtype: GgmlDType, sampling: Sampling) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        tiny::write(&path, kind, dtype);
        let installed = Installed { sampling: Some(sampling), ..Installed::new("tiny", path) };
        Self { provider: LocalProvider::new(Arc::new(One(installed))), _folder: Some(folder) }
    }

    /// A tiny model as its family likes it, under a user's settings.
    pub(crate) fn tuned(kind: Kind, tuning: Tuning) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        tiny::write(&path, kind, GgmlDType::Q8_0);
        let installed = Installed::tuned("tiny", path, tuning);
        Self { provider: LocalProvider::new(Arc::new(One(installed))), _folder: Some(folder) }
    }

    /// The model in a file.
    pub(crate) fn file(path: &Path, sampling: Option<Sampling>, tuning: Tuning) -> Self {
        let installed = Installed { sampling, ..Installed::tuned("model", path, tuning) };
        Self { provider: LocalProvider::new(Arc::new(One(installed))), _folder: None }
    }

    /// The whole answer.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Completion, ProviderError> {
        collect(self.stream(request, &CancellationToken::new()).await?).await
    }

    /// The pieces.
    pub(crate) async fn stream(
        &self,
        request: &Request,
        cancel: &CancellationToken,
    ) -> Result<ChunkStream, ProviderError> {
        let cx = CallCx { cancel: cancel.clone(), idle_timeout: Duration::from_secs(60) };
        self.provider.stream(request, &cx).await
    }
}

/// Folds the pieces.
pub(crate) async fn collect(mut chunks: ChunkStream) -> Result<Completion, ProviderError> {
    let mut assembler = Assembler::new("local");
    while let Some(chunk) = chunks.next().await {
        assembler.push(chunk?);
    }
    Ok(assembler.finish(1).expect("the answer has an end"))
}

/// A question to the model with so many tokens for the answer.
pub(crate) fn question(text: &str, max_tokens: u32) -> Request {
    Request {
        model: "tiny".into(),
        system: "".into(),
        messages: Arc::new(vec![Arc::new(Message::user(text))]),
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        params: Params { max_tokens: Some(max_tokens), ..Params::default() },
        output_schema: None,
    }
}

/// A tool with this schema.
pub(crate) fn tool(name: &str, description: &str, schema: Value) -> Arc<ToolSpec> {
    Arc::new(ToolSpec::new(name, description, "test", schema, Effects::NONE))
}
