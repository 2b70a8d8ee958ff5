//! An encoder of a few thousand weights, made up from a seed, as it is published: weights, vocabulary, shape.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::{Device, Tensor, safetensors};
use tokio_util::sync::CancellationToken;
use victor_local::weights::{Convert as _, Requantise};

const WIDTH: usize = 24;
const HIDDEN: usize = 40;
const LAYERS: usize = 2;
pub(crate) const POSITIONS: usize = 64;

/// Writes it and has it made one file, as an installation does.
pub(crate) fn imported(folder: &Path) -> PathBuf {
    let (weights, model) = (folder.join("model.safetensors"), folder.join("tiny.gguf"));
    safetensors::save(&tensors(), &weights).unwrap();
    fs::write(folder.join("vocab.txt"), vocabulary().join("\n") + "\n").unwrap();
    let shape = serde_json::json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": 2, "intermediate_size": HIDDEN, "max_position_embeddings": POSITIONS,
        "layer_norm_eps": 1e-12, "unknown": [1]
    });
    fs::write(folder.join("config.json"), shape.to_string()).unwrap();
    assert!(Requantise.needs(&weights).unwrap());
    Requantise.convert(&weights, &model, &CancellationToken::new()).unwrap();
    assert!(!Requantise.needs(&model).unwrap());
    model
}

/// The same model with another kind of pooling.
pub(crate) fn pooled(model: &Path, kind: u32) -> PathBuf {
    let mut file = fs::File::open(model).unwrap();
    let mut content = Content::read(&mut file).unwrap();
    content.metadata.insert("bert.pooling_type".to_owned(), Value::U32(kind));
    let names: Vec<String> = content.tensor_infos.keys().cloned().collect();
    let tensors = names.into_iter().map(|name| (content.tensor(&mut file, &name, &Device::Cpu).unwrap(), name));
    let tensors: Vec<_> = tensors.collect();
    let tensors: Vec<_> = tensors.iter().map(|(tensor, name)| (name.as_str(), tensor)).collect();
    let metadata: Vec<_> = content.metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let path = model.with_file_name(format!("pooled-{kind}.gguf"));
    gguf_file::write(&mut fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
    path
}

fn vocabulary() -> Vec<String> {
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = ('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]);
    let words = ["the", "sea", "##ing", "wind", ".", "!", "\u{6d77}", "##\u{e9}"].map(str::to_owned);
    specials.into_iter().chain(letters).chain(words).collect()
}

fn tensors() -> HashMap<String, Tensor> {
    let mut weights = Weights { state: 11, all: HashMap::new() };
    let embeddings = |part: &str| format!("embeddings.{part}");
    weights.add(&embeddings("word_embeddings.weight"), &[vocabulary().len(), WIDTH], 0.0);
    weights.add(&embeddings("position_embeddings.weight"), &[POSITIONS, WIDTH], 0.0);
    weights.add(&embeddings("token_type_embeddings.weight"), &[2, WIDTH], 0.0);
    weights.add(&embeddings("LayerNorm.weight"), &[WIDTH], 1.0);
    weights.add(&embeddings("LayerNorm.bias"), &[WIDTH], 0.0);
    for i in 0..LAYERS {
        for (part, shape, around) in [
            ("attention.self.query", [WIDTH, WIDTH].as_slice(), 0.0),
            ("attention.self.key", &[WIDTH, WIDTH], 0.0),
            ("attention.self.value", &[WIDTH, WIDTH], 0.0),
            ("attention.output.dense", &[WIDTH, WIDTH], 0.0),
            ("attention.output.LayerNorm", &[WIDTH], 1.0),
            ("intermediate.dense", &[HIDDEN, WIDTH], 0.0),
            ("output.dense", &[WIDTH, HIDDEN], 0.0),
            ("output.LayerNorm", &[WIDTH], 1.0),
        ] {
            weights.add(&format!("encoder.layer.{i}.{part}.weight"), shape, around);
            weights.add(&format!("encoder.layer.{i}.{part}.bias"), &shape[..1], 0.0);
        }
    }
    weights.all
}

struct Weights {
    state: u64,
    all: HashMap<String, Tensor>,
}

impl Weights {
    fn add(&mut self, name: &str, shape: &[usize], around: f32) {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| around + self.next() * 0.5).collect();
        self.all.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    }

    /// From -1 to 1.
    fn next(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
        let top = (self.state >> 40) as f32;
        top / 8_388_608.0 - 1.0
    }
}
