//! Arithmetic on rows of floating point numbers. Sums run in sixteen lanes, so that the compiler can use wide
//! registers; loops are plain, as what is called through a closure loses them.

use half::f16;

const LANES: usize = 16;

/// The sum of the products.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let mut sum = 0.0;
    for lane in sums {
        sum += lane;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// The sum of all parts.
#[inline(always)]
pub(super) fn total(a: &[f32]) -> f32 {
    let (a, rest) = a.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for a in a {
        for i in 0..LANES {
            sums[i] += a[i];
        }
    }
    let mut sum = 0.0;
    for lane in sums {
        sum += lane;
    }
    for a in rest {
        sum += a;
    }
    sum
}

/// Adds `b` to `a`.
#[inline(always)]
pub(super) fn add(a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// Adds `factor` times `b` to `a`.
#[inline(always)]
pub(super) fn add_scaled(a: &mut [f32], b: &[f32], factor: f32) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += factor * b;
    }
}

/// Divides each row of `x` by its root mean square and multiplies it with `weight`.
#[inline(always)]
pub(super) fn norm_rows(x: &[f32], weight: &[f32], epsilon: f32, out: &mut Vec<f32>) {
    out.clear();
    for row in x.chunks_exact(weight.len()) {
        #[expect(clippy::cast_precision_loss, reason = "rows have a few thousand parts")]
        let mean = dot(row, row) / row.len() as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for (x, w) in row.iter().zip(weight) {
            out.push(x * scale * w);
        }
    }
}

/// `gate * sigmoid(gate) * up`, in `gate`.
#[inline(always)]
pub(super) fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (g, up) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + exp(-*g)) * up;
    }
}

/// `gelu(gate) * up`, in `gate`, with the curve's usual approximation by the hyperbolic tangent (arXiv 1606.08415).
#[inline(always)]
pub(super) fn geglu(gate: &mut [f32], up: &[f32]) {
    const ROOT_OF_2_BY_PI: f32 = 0.797_884_6;
    for (g, up) in gate.iter_mut().zip(up) {
        let x = *g;
        let bent = ROOT_OF_2_BY_PI * x * (1.0 + 0.044_715 * x * x);
        // Half of 1 + tanh(bent).
        *g = x / (1.0 + exp(-2.0 * bent)) * up;
    }
}

/// Multiplies all parts with `factor`.
#[inline(always)]
pub(super) fn scale(a: &mut [f32], factor: f32) {
    for a in a {
        *a *= factor;
    }
}

/// Turns scores into shares of one.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32]) {
    let highest = highest(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - highest);
    }
    let factor = 1.0 / total(scores);
    for score in scores.iter_mut() {
        *score *= factor;
    }
}

/// The highest of the numbers; those that are none do not count.
#[inline(always)]
fn highest(a: &[f32]) -> f32 {
    let (a, rest) = a.as_chunks::<LANES>();
    let mut highest = [f32::NEG_INFINITY; LANES];
    for a in a {
        for i in 0..LANES {
            highest[i] = if a[i] > highest[i] { a[i] } else { highest[i] };
        }
    }
    let lanes = highest.iter().chain(rest);
    lanes.fold(f32::NEG_INFINITY, |highest, number| highest.max(*number))
}

/// The exponential function to seven digits, as a polynomial between powers of two, which wide registers can compute.
/// The numbers are those of the Cephes library (`expf`).
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Added to a number, this leaves the nearest whole one in its last bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2, whose products are exact with the first of these.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let whole = x * std::f32::consts::LOG2_E + ROUND;
    let rest = x - (whole - ROUND) * LN_2[0] - (whole - ROUND) * LN_2[1];
    let mut sum = 1.987_569_1e-4_f32;
    for number in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + number;
    }
    let power = f32::from_bits((whole.to_bits() << 23).wrapping_add(127 << 23));
    (sum * rest * rest + rest + 1.0) * power
}

/// Numbers of 16 bits in 32; those that are none become large ones. By whole numbers, which wide registers can compute:
/// the exponent goes where that of 32 bits is and is made larger by as much as that counts from below.
#[inline(always)]
pub(super) fn widened<const N: usize>(halves: &[f16; N]) -> [f32; N] {
    let larger = f32::from_bits((127 + 112) << 23);
    let mut out = [0.0; N];
    for i in 0..N {
        let bits = u32::from(halves[i].to_bits());
        let number = f32::from_bits((bits & 0x7fff) << 13) * larger;
        out[i] = f32::from_bits(number.to_bits() | (bits & 0x8000) << 16);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_16_bits_stay_what_they_are() {
        for half in (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite()) {
            let [wide] = widened(&[half]);
            assert_eq!(wide.to_bits(), half.to_f32().to_bits(), "{half}");
        }
    }

    #[test]
    fn the_exponential_function_is_right_to_seven_digits() {
        for i in -870..=880_i16 {
            let x = f32::from(i) / 10.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}: {}", exp(x));
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(-1e9) < 1e-37 && exp(1e9).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }
}
