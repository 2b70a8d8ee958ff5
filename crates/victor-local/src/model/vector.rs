//! Arithmetic on rows of floating point numbers. Sums run in sixteen lanes, so that the compiler can use wide
//! registers; loops are plain, as what is called through a closure loses them.

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
        *g = *g / (1.0 + (-*g).exp()) * up;
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
        *g = x / (1.0 + (-2.0 * bent).exp()) * up;
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
    let mut highest = f32::NEG_INFINITY;
    for score in scores.iter() {
        highest = highest.max(*score);
    }
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - highest).exp();
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
}
