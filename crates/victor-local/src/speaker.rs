//! A model that answers requests: prompt, token after token, and the text that comes of them.

use std::path::Path;
use std::sync::Arc;

use llguidance::Matcher;
use victor_core::provider::{Chunk, StopReason};
use victor_core::usage::Usage;

use crate::engine::{Job, tell};
use crate::error::EngineError;
use crate::gguf::Gguf;
use crate::grammar::{Rule, Rules};
use crate::model::Config;
use crate::output::{Output, Turn};
use crate::prompt;
use crate::sample::{Sampler, Sampling};
use crate::scorer::{self, Scorer};
use crate::template::Template;
use crate::tokenizer::{Specials, Tokenizer};
use crate::tuning::Tuning;

/// A loaded model with all that belongs to it.
pub(crate) struct Speaker {
    scorer: Box<dyn Scorer>,
    config: Config,
    tokenizer: Arc<Tokenizer>,
    template: Template,
    /// Made with the first request that needs them.
    rules: Option<Rules>,
}

/// One answer on its way.
struct Answer<'a> {
    job: &'a Job,
    tokenizer: &'a Tokenizer,
    sampler: Sampler,
    rule: Rule,
    output: Output,
    said: Vec<u32>,
    usage: Usage,
}

/// How the answer goes on.
enum Next {
    /// With these tokens, which the model has not read yet.
    Read(Vec<u32>),
    /// Not at all.
    End(StopReason),
    /// Nobody waits for it any more.
    Gone,
}

impl Speaker {
    /// Loads a model's file, for prompts and answers of up to `window` tokens.
    pub(crate) fn load(path: &Path, window: usize, tuning: &Tuning) -> Result<Self, EngineError> {
        let mut file = Gguf::open(path)?;
        let tokenizer = Arc::new(Tokenizer::read(&file)?);
        let template = Template::read(&file)?;
        let mut config = Config::read(&file)?;
        config.window = config.window.min(window);
        let scorer = scorer::load(path, &mut file, &config, tuning)?;
        Ok(Self { scorer, config, tokenizer, template, rules: None })
    }

    /// Answers a request, piece by piece.
    pub(crate) fn answer(&mut self, job: &Job) -> Result<(), EngineError> {
        let rule = self.rule(job)?;
        let mut prompt = prompt::prompt(&job.request, &self.template, &self.tokenizer)?;
        let own = job.sampling.unwrap_or_else(|| Sampling::of(self.config.family, prompt.thinks));
        let sampling = job.tuning.over(own).under(&job.request.params);
        sampling.check()?;
        let calls = !matches!(rule, Rule::Free);
        let mut output = Output::new(&job.request.params.stop, calls);
        if let Rule::Always { start, .. } = &rule {
            prompt.tokens.extend(self.tokenizer.encode(start, Specials::AsTokens)?);
            output.push(start.as_bytes());
        }
        let window = job.window.min(self.config.window);
        if prompt.tokens.len() >= window {
            return Err(EngineError::Context { prompt: prompt.tokens.len(), window });
        }
        let room = window - prompt.tokens.len();
        let reused = self.scorer.begin(&prompt.tokens);
        let usage = Usage { input: prompt.tokens.len() as u64, cache_read: reused as u64, ..Usage::default() };
        let mut answer = Answer {
            job,
            tokenizer: &self.tokenizer,
            sampler: Sampler::new(sampling),
            rule,
            output,
            said: Vec::new(),
            usage,
        };
        tell(job, Ok(Chunk::Start { id: None, model: Some(job.request.model.to_string()) }));
        tell(job, Ok(Chunk::Usage(usage)));
        let limit = job.max_output.min(room);
        let mut next = prompt.tokens.split_off(reused);
        let stop = loop {
            let Some(scores) = self.scorer.read(&next, &mut || !answer.gone())? else { break None };
            match answer.step(scores, limit)? {
                Next::Read(tokens) => next = tokens,
                Next::End(reason) => break Some(reason),
                Next::Gone => break None,
            }
        };
        self.scorer.end();
        answer.end(stop);
        Ok(())
    }

    fn rule(&mut self, job: &Job) -> Result<Rule, EngineError> {
        if job.request.tools.is_empty() && job.request.output_schema.is_none() {
            return Ok(Rule::Free);
        }
        let rules = match self.rules.take() {
            Some(rules) => rules,
            None => Rules::new(&self.tokenizer)?,
        };
        self.rules.insert(rules).rule(&job.request)
    }
}

impl Answer<'_> {
    fn gone(&self) -> bool {
        self.job.cancel.is_cancelled() || self.job.out.is_closed()
    }

    /// Chooses the next token and tells what it brings.
    fn step(&mut self, scores: &mut [f32], limit: usize) -> Result<Next, EngineError> {
        let ruled = self.ruled();
        if let Some(matcher) = self.matcher().filter(|_| ruled) {
            let mask = matcher.compute_mask().map_err(internal)?;
            mask.iter_unset_entries(|token| {
                if let Some(score) = scores.get_mut(token) {
                    *score = f32::NEG_INFINITY;
                }
            });
        }
        // Rules repeat themselves: braces, quotes, names.
        let said = if ruled { &[] } else { self.said.as_slice() };
        let chosen = self.sampler.choose(scores, said);
        let token = chosen.ok_or_else(|| EngineError::Internal("the model gives no usable scores".to_owned()))?;
        let mut tokens = vec![token];
        self.said.push(token);
        self.usage.output += 1;
        if self.tokenizer.ends.contains(&token) {
            return Ok(Next::End(self.reason()));
        }
        let mut over = false;
        if let Some(matcher) = self.matcher().filter(|_| ruled) {
            matcher.consume_token(token).map_err(internal)?;
            tokens.extend(matcher.consume_ff_tokens());
            over = matcher.is_stopped();
        }
        let forced = tokens.split_off(1);
        match self.output.push(self.tokenizer.bytes(token)) {
            Turn::Stop => return Ok(Next::End(StopReason::StopSequence)),
            Turn::Call { tail } if !ruled => self.begin_call(&tail, &mut tokens)?,
            Turn::Call { .. } | Turn::None => {}
        }
        for token in forced {
            self.usage.output += 1;
            self.said.push(token);
            if self.output.push(self.tokenizer.bytes(token)) == Turn::Stop {
                return Ok(Next::End(StopReason::StopSequence));
            }
            tokens.push(token);
        }
        if self.output.thinking() {
            self.usage.reasoning += 1;
        }
        self.output.take().into_iter().for_each(|chunk| tell(self.job, Ok(chunk)));
        match () {
            () if over => Ok(Next::End(self.reason())),
            () if self.gone() => Ok(Next::Gone),
            () if self.said.len() >= limit => Ok(Next::End(StopReason::MaxTokens)),
            () => Ok(Next::Read(tokens)),
        }
    }

    /// Whether the rule holds for the next token.
    fn ruled(&self) -> bool {
        match &self.rule {
            Rule::Free => false,
            Rule::InCalls(_) => self.output.calling(),
            Rule::Always { .. } => true,
        }
    }

    fn matcher(&mut self) -> Option<&mut Matcher> {
        match &mut self.rule {
            Rule::Free => None,
            Rule::InCalls(matcher) | Rule::Always { matcher, .. } => Some(matcher),
        }
    }

    /// From here on the rule holds. What the latest token held behind the call's mark comes under it, too, so that token
    /// is taken back where the rest of it is more than a line's end.
    fn begin_call(&mut self, tail: &str, tokens: &mut Vec<u32>) -> Result<(), EngineError> {
        match tail {
            "" => Ok(()),
            _ => {
                let token = tokens.pop().unwrap_or_default();
                let bytes = self.tokenizer.bytes(token);
                let kept = &bytes[..bytes.len().saturating_sub(tail.len())];
                tokens.extend(self.tokenizer.encode(&String::from_utf8_lossy(kept), Specials::AsText)?);
                self.output.drop_tail();
                Ok(())
            }
        }
    }

    fn reason(&self) -> StopReason {
        if self.output.called() > 0 { StopReason::ToolUse } else { StopReason::EndTurn }
    }

    /// Tells what is left, the tokens and the reason; nothing where nobody waits.
    fn end(mut self, stop: Option<StopReason>) {
        let Some(stop) = stop else { return };
        self.output.finish();
        let stop = match stop {
            StopReason::EndTurn if self.output.called() > 0 => StopReason::ToolUse,
            other => other,
        };
        self.output.take().into_iter().for_each(|chunk| tell(self.job, Ok(chunk)));
        tell(self.job, Ok(Chunk::Usage(self.usage)));
        tell(self.job, Ok(Chunk::Stop(stop)));
    }
}

fn internal(e: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(e.to_string())
}
