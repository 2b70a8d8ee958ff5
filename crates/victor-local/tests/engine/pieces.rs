//! A small vocabulary of pieces with scores, as `SentencePiece` makes them, of our own making.

use candle_core::quantized::gguf_file::Value;

/// GGUF's kinds of tokens.
pub(crate) const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const ADDED: i32 = 4;
const BYTE: i32 = 6;

const CONTROLS: [&str; 4] = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"];
/// Taken as a whole wherever they stand. Some hold others, some overlap.
const ADDITIONS: [&str; 10] = ["\n", "\n\n", "\n\n\n", "\t", "  ", "   ", "    ", "<b>", "</b>", "b></"];
/// Best score first. There are several ways to some, which the score does not tell apart.
const MADE: &str = "\
    ▁t he in an re on er ▁a ▁the at is or en ▁w ▁s nd ▁o ou it ed ▁c ing ▁and ar es al ▁in ll st ▁h le ly ea ion om ve \
    ▁b ▁f aa aaa aaaa aaaaaa ab ba aba abab bab ▁▁ ▁▁▁▁ ▁▁▁ ha hah haha ahah ... .. .... == === =>  :: () ); \", {\" \": \
    00 000 10 20 ▁1 ▁2 ▁x ▁= ▁{ ▁} ei sch ich ▁ein ▁пр ри ив ет ▁при вет привет 你好 世界 好 🙂🙂 é\u{301} eo <eo s> <0 x4 <0x4 1>";
/// Pieces of one letter each; what is not among them becomes bytes.
const LETTERS: &str = "▁etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,;:!?'\"()[]{}<>=+-*/\\_#$%&@|~^`\
                       äöüßéèñçåøœприветмкакделяосугы你世界今天こんに안녕مرحבשन🙂";

/// A chat template that wants turns to alternate and knows no system prompt.
const TURNS: &str = "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
                     {{ raise_exception('roles must alternate') }}{% endif %}\
                     <start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n\
                     {% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

/// Tokens with their kinds and scores.
pub(crate) struct Pieces {
    pub(crate) texts: Vec<String>,
    pub(crate) kinds: Vec<i32>,
    scores: Vec<f32>,
}

/// Whether a file says of its tokenizer what its makers leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A text begins as it is written (Gemma).
    Plain,
    /// A text begins with a space that nobody wrote, as where a file says nothing (Llama).
    Prefixed,
}

impl Pieces {
    /// The vocabulary.
    pub(crate) fn new() -> Self {
        let mut pieces = Self { texts: Vec::new(), kinds: Vec::new(), scores: Vec::new() };
        pieces.add("<unk>", UNKNOWN, 0.0);
        CONTROLS.iter().for_each(|name| pieces.add(name, CONTROL, 0.0));
        ADDITIONS.iter().for_each(|text| pieces.add(text, ADDED, -1000.0));
        (0..=255u8).for_each(|byte| pieces.add(&format!("<0x{byte:02X}>"), BYTE, 0.0));
        let mut score = 0.0;
        for piece in MADE.split_ascii_whitespace() {
            score -= 1.0;
            pieces.add(piece, NORMAL, score);
        }
        for letter in LETTERS.chars() {
            score -= 1.0;
            pieces.add(letter.encode_utf8(&mut [0; 4]), NORMAL, score);
        }
        // Rows of weights come in fours.
        while !pieces.texts.len().is_multiple_of(32) {
            pieces.add(&format!("<unused{}>", pieces.texts.len()), CONTROL, 0.0);
        }
        pieces
    }

    fn add(&mut self, text: &str, kind: i32, score: f32) {
        if !self.texts.iter().any(|known| known == text) {
            self.texts.push(text.to_owned());
            self.kinds.push(kind);
            self.scores.push(score);
        }
    }

    /// What a file says of it.
    pub(crate) fn metadata(&self, style: Style) -> Vec<(String, Value)> {
        let mut list = vec![
            ("model", Value::String("llama".to_owned())),
            ("pre", Value::String("default".to_owned())),
            ("tokens", Value::Array(self.texts.iter().map(|text| Value::String(text.clone())).collect())),
            ("token_type", Value::Array(self.kinds.iter().map(|kind| Value::I32(*kind)).collect())),
            ("scores", Value::Array(self.scores.iter().map(|score| Value::F32(*score)).collect())),
        ];
        if style == Style::Plain {
            list.extend([
                ("unknown_token_id", Value::U32(0)),
                ("bos_token_id", Value::U32(1)),
                ("eos_token_id", Value::U32(2)),
                ("add_bos_token", Value::Bool(true)),
                ("add_space_prefix", Value::Bool(false)),
            ]);
        }
        let list = list.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
        list.chain([("tokenizer.chat_template".to_owned(), Value::String(TURNS.to_owned()))]).collect()
    }
}
