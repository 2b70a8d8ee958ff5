//! Texts as vectors that lie near each other where the texts mean nearly the same: what a search by meaning is made of.

use async_trait::async_trait;

use crate::error::{ProviderError, ProviderErrorKind, VictorError};
use crate::request::CallCx;
use crate::runtime::Runtime;
use crate::usage::Usage;

/// A model that turns texts into vectors. It classifies failures like a [`Provider`](crate::provider::Provider) and
/// never retries.
#[async_trait]
pub trait Embedder: Send + Sync + 'static {
    /// The name of the provider, for errors.
    fn name(&self) -> &str;

    /// Which model it is. The vectors of two models cannot be compared, so keep its name beside what you save.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    async fn model(&self, cx: &CallCx) -> Result<EmbeddingModel, ProviderError>;

    /// The vectors of the texts, in their order. The same text gives the same vector, whatever else is asked for with it.
    ///
    /// # Errors
    /// There is no model, it failed, or the call was cancelled: nothing is given for any of the texts.
    async fn embed(&self, texts: Vec<String>, cx: &CallCx) -> Result<Embeddings, ProviderError>;
}

/// What is known of an embedding model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbeddingModel {
    /// Its name.
    pub name: String,
    /// The length of its vectors.
    pub dimension: usize,
    /// Tokens of a text that count at most; what comes after them has no part in the vector.
    pub max_input: usize,
}

impl EmbeddingModel {
    /// A model.
    pub fn new(name: impl Into<String>, dimension: usize, max_input: usize) -> Self {
        Self { name: name.into(), dimension, max_input }
    }
}

/// What came of a list of texts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Embeddings {
    /// The name of the model.
    pub model: String,
    /// One for each text, in the order of the texts.
    pub vectors: Vec<Embedding>,
    /// The tokens that were read, as input.
    pub usage: Usage,
}

impl Embeddings {
    /// The vectors of a model; the usage is the sum of theirs.
    pub fn new(model: impl Into<String>, vectors: Vec<Embedding>) -> Self {
        let input = vectors.iter().map(|vector| u64::from(vector.tokens)).sum();
        Self { model: model.into(), vectors, usage: Usage { input, ..Usage::default() } }
    }
}

/// One text as a vector.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Embedding {
    /// The vector. Its length as an arrow is 1.
    pub values: Vec<f32>,
    /// The tokens that were read.
    pub tokens: u32,
    /// Whether the text was longer than the model reads, so that its end has no part in the vector.
    pub truncated: bool,
}

impl Embedding {
    /// A vector with what was read for it. It is stretched to the length 1.
    #[must_use]
    pub fn new(mut values: Vec<f32>, tokens: u32, truncated: bool) -> Self {
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        if length > 0.0 {
            values.iter_mut().for_each(|v| *v /= length);
        }
        Self { values, tokens, truncated }
    }

    /// How near two texts are in meaning, by the cosine of the angle between their vectors: 1 for the same, about 0 for
    /// what has nothing to do with each other. Vectors of different models cannot be compared: 0.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> f32 {
        if self.values.len() != other.values.len() {
            return 0.0;
        }
        self.values.iter().zip(&other.values).map(|(a, b)| a * b).sum()
    }
}

impl Runtime {
    /// The vectors of the texts, by the runtime's [`Embedder`]. Dropping the future ends the work.
    ///
    /// # Errors
    /// The runtime has no embedder, or that fails.
    pub async fn embed<T: Into<String>>(&self, texts: impl IntoIterator<Item = T>) -> Result<Embeddings, VictorError> {
        let texts = texts.into_iter().map(Into::into).collect();
        let Some(embedder) = self.embedder() else {
            let message = "no embedding model: give `Runtime::builder().embedder(..)` one";
            return Err(ProviderError::new(ProviderErrorKind::NotConfigured, "embedder", message).into());
        };
        let cx = CallCx { cancel: self.inner.cancel.child_token(), idle_timeout: self.inner.idle_timeout };
        Ok(embedder.embed(texts, &cx).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_the_length_one_and_other_models_are_never_near() {
        let a = Embedding::new(vec![3.0, 4.0], 2, false);
        assert_eq!(a.values, [0.6, 0.8]);
        assert!((a.similarity(&a) - 1.0).abs() < 1e-6);
        assert!(a.similarity(&Embedding::new(vec![3.0, 4.0, 0.0], 2, false)).abs() < 1e-6);
        assert_eq!(Embedding::new(vec![0.0, 0.0], 2, false).values, [0.0, 0.0]);
        assert_eq!(Embeddings::new("m", vec![a.clone(), a]).usage.input, 4);
    }
}
