//! Arithmetic on rows of floating point numbers that encoders have and the other models have not.

use super::super::vector::{add_scaled, dot, softmax, total};
use super::config::Config;
use crate::error::EngineError;
use crate::gguf::Gguf;

/// Makes the mean of each row 0 and its variance 1, then scales and shifts its parts (arXiv 1607.06450).
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    /// Reads `name.weight` and `name.bias`.
    pub(super) fn read(file: &mut Gguf, name: &str, config: &Config) -> Result<Self, EngineError> {
        let (weight, bias) = (file.vector(&format!("{name}.weight"))?, file.vector(&format!("{name}.bias"))?);
        if (weight.len(), bias.len()) != (config.width, config.width) {
            return Err(file.wrong(format!("the tensors `{name}` do not have {} parts", config.width)));
        }
        Ok(Self { weight, bias, epsilon: config.epsilon })
    }

    #[inline(always)]
    pub(super) fn apply(&self, x: &mut [f32]) {
        #[expect(clippy::cast_precision_loss, reason = "rows have a few thousand parts")]
        let count = self.weight.len() as f32;
        for row in x.chunks_exact_mut(self.weight.len()) {
            let mean = total(row) / count;
            for x in row.iter_mut() {
                *x -= mean;
            }
            let scale = 1.0 / (dot(row, row) / count + self.epsilon).sqrt();
            for ((x, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *x = *x * scale * weight + bias;
            }
        }
    }
}

/// `x` times the share of the normal distribution below `x` (arXiv 1606.08415).
#[inline(always)]
pub(super) fn gelu(x: &mut [f32]) {
    for x in x {
        *x = 0.5 * *x * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// The error function to seven digits, as a quotient of polynomials, which wide registers can compute. The numbers are
/// those of Eigen's `generic_fast_erf_float`.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut above = -2.726_142_3e-10_f32;
    for number in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2] {
        above = above * square + number;
    }
    let mut below = -1.456_607_2e-5_f32;
    for number in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_474e-2] {
        below = below * square + number;
    }
    x * above / below
}

/// Room for [`attend`].
#[derive(Default)]
pub(super) struct Looks {
    keys: Vec<f32>,
    scores: Vec<f32>,
}

/// What each position of one text takes from all positions of it (arXiv 1706.03762); all rows are those of the text.
#[inline(always)]
pub(super) fn attend(config: &Config, [query, key, value]: [&[f32]; 3], out: &mut [f32], room: &mut Looks) {
    let (width, head) = (config.width, config.width / config.heads);
    let count = query.len() / width;
    #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred parts")]
    let scale = 1.0 / (head as f32).sqrt();
    for place in (0..width).step_by(head) {
        // Part by part, so that the scores of all positions are computed side by side.
        room.keys.clear();
        room.keys.resize(head * count, 0.0);
        for (i, key) in key.chunks_exact(width).enumerate() {
            for (part, value) in key[place..place + head].iter().enumerate() {
                room.keys[part * count + i] = *value * scale;
            }
        }
        for (query, out) in query.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            room.scores.clear();
            room.scores.resize(count, 0.0);
            for (keys, part) in room.keys.chunks_exact(count).zip(&query[place..place + head]) {
                add_scaled(&mut room.scores, keys, *part);
            }
            softmax(&mut room.scores);
            let out = &mut out[place..place + head];
            out.fill(0.0);
            for (value, share) in value.chunks_exact(width).zip(&room.scores) {
                add_scaled(out, &value[place..place + head], *share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_right_to_seven_digits() {
        // Abramowitz and Stegun, table 7.1.
        for (x, expected) in
            [(0.0, 0.0), (0.1, 0.112_462_92), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3)]
        {
            assert!((erf(x) - expected).abs() < 3e-7, "{x}: {}", erf(x));
            assert!((erf(-x) + expected).abs() < 3e-7, "-{x}");
        }
        assert!((erf(9.0) - 1.0).abs() < 3e-7);
    }
}
