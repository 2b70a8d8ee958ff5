//! A weight matrix in 32 bits with its bias, and its product with rows of activations. Each product is summed in the
//! order of its parts, so that a row's result does not depend on the rows beside it.

use super::super::simd::widely;
use crate::error::EngineError;
use crate::gguf::Gguf;

/// Outputs that are computed together.
const LANES: usize = 16;
/// Rows of activations that share one look at the weights; more sums do not stay in AVX2's registers.
const TILE: usize = 6;

/// `rows` outputs of `cols` inputs each.
pub(super) struct Dense {
    rows: usize,
    cols: usize,
    /// For each [`LANES`] outputs: their weights for the first input, for the second, and so on.
    panels: Vec<[f32; LANES]>,
    /// Filled up to whole panels.
    bias: Vec<[f32; LANES]>,
}

impl Dense {
    /// Reads `name.weight` and `name.bias`.
    pub(super) fn read(file: &mut Gguf, name: &str, rows: usize, cols: usize) -> Result<Self, EngineError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let raw = file.tensor(&weight)?;
        if (raw.rows, raw.cols) != (rows, cols) {
            let shape = (raw.rows, raw.cols);
            return Err(file.wrong(format!("the tensor `{weight}` has the shape {shape:?}, not {:?}", (rows, cols))));
        }
        let biases = file.vector(&bias)?;
        if biases.len() != rows {
            return Err(file.wrong(format!("the tensor `{bias}` has {} parts, not {rows}", biases.len())));
        }
        Ok(Self::new(&raw.floats()?, &biases, cols))
    }

    /// Weights row after row.
    pub(super) fn new(weights: &[f32], biases: &[f32], cols: usize) -> Self {
        let rows = biases.len();
        let count = rows.div_ceil(LANES);
        let mut panels = vec![[0.0; LANES]; count * cols];
        for (row, weights) in weights.chunks_exact(cols).enumerate() {
            for (col, weight) in weights.iter().enumerate() {
                panels[row / LANES * cols + col][row % LANES] = *weight;
            }
        }
        let mut bias = vec![[0.0; LANES]; count];
        for (row, value) in biases.iter().enumerate() {
            bias[row / LANES][row % LANES] = *value;
        }
        Self { rows, cols, panels, bias }
    }

    /// Multiplies each row of `x` (`cols` long), adds the bias, and puts the results into `out` (`rows` long each).
    pub(super) fn apply(&self, x: &[f32], out: &mut Vec<f32>) {
        out.resize(x.len() / self.cols * self.rows, 0.0);
        widely(
            #[inline(always)]
            || self.products(x, out),
        );
    }

    #[inline(always)]
    fn products(&self, x: &[f32], out: &mut [f32]) {
        for (panel, (weights, bias)) in self.panels.chunks_exact(self.cols).zip(&self.bias).enumerate() {
            let tiles = x.chunks(TILE * self.cols).zip(out.chunks_mut(TILE * self.rows));
            for (x, out) in tiles {
                match x.len() / self.cols {
                    TILE => self.tile::<TILE>(weights, bias, x, out, panel),
                    4..TILE => {
                        let (x, x_rest) = x.split_at(4 * self.cols);
                        let (out, out_rest) = out.split_at_mut(4 * self.rows);
                        self.tile::<4>(weights, bias, x, out, panel);
                        self.singles(weights, bias, x_rest, out_rest, panel);
                    }
                    _ => self.singles(weights, bias, x, out, panel),
                }
            }
        }
    }

    #[inline(always)]
    fn singles(&self, weights: &[[f32; LANES]], bias: &[f32; LANES], x: &[f32], out: &mut [f32], panel: usize) {
        for (x, out) in x.chunks_exact(self.cols).zip(out.chunks_exact_mut(self.rows)) {
            self.tile::<1>(weights, bias, x, out, panel);
        }
    }

    /// A panel times `N` rows. Plain loops: what is called through a closure loses the registers.
    #[inline(always)]
    fn tile<const N: usize>(
        &self,
        weights: &[[f32; LANES]],
        bias: &[f32; LANES],
        x: &[f32],
        out: &mut [f32],
        panel: usize,
    ) {
        let mut rows = [&x[..0]; N];
        for (n, row) in rows.iter_mut().enumerate() {
            *row = &x[n * self.cols..][..weights.len()];
        }
        let mut sums = [[0.0f32; LANES]; N];
        for (col, weights) in weights.iter().enumerate() {
            for n in 0..N {
                let value = rows[n][col];
                for lane in 0..LANES {
                    sums[n][lane] = value.mul_add(weights[lane], sums[n][lane]);
                }
            }
        }
        let first = panel * LANES;
        let count = LANES.min(self.rows - first);
        for (n, sums) in sums.iter().enumerate() {
            let out = &mut out[n * self.rows + first..][..count];
            for (lane, out) in out.iter_mut().enumerate() {
                *out = sums[lane] + bias[lane];
            }
        }
    }
}
