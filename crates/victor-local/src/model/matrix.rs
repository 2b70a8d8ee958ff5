//! A weight matrix in the file's own quantisation, and its product with rows of activations.

use candle_core::quantized::{GgmlDType, QuantizedType};
use rayon::ThreadPool;

use super::q8::{Activations, BLOCK, Q8};
use super::simd::widely;
use crate::error::EngineError;
use crate::gguf::Gguf;

/// `rows` outputs of `cols` inputs each.
pub(crate) struct Matrix {
    rows: usize,
    cols: usize,
    weights: Weights,
}

enum Weights {
    /// With our own products.
    Own(Q8),
    /// With candle's.
    Candle(Box<dyn QuantizedType>),
}

/// Rows of activations on their way into matrices.
#[derive(Default)]
pub(crate) struct Input {
    pub(crate) rows: Vec<f32>,
    quantised: Activations,
}

impl Input {
    /// Gets the rows ready; must come before [`Matrix::apply`] and after each change of `rows`.
    pub(crate) fn prepare(&mut self) {
        let Self { rows, quantised } = self;
        widely(
            #[inline(always)]
            || quantised.set(rows),
        );
    }
}

impl Matrix {
    /// Reads a tensor of the expected shape.
    pub(crate) fn read(file: &mut Gguf, name: &str, rows: usize, cols: usize) -> Result<Self, EngineError> {
        let raw = file.tensor(name)?;
        if (raw.rows, raw.cols) != (rows, cols) {
            let shape = (raw.rows, raw.cols);
            return Err(file.wrong(format!("the tensor `{name}` has the shape {shape:?}, not {:?}", (rows, cols))));
        }
        let own = match raw.dtype {
            GgmlDType::Q8_0 if cols.is_multiple_of(BLOCK) => Q8::new(&raw.bytes, cols),
            _ => None,
        };
        let candle = || Weights::Candle(raw.dtype.from_data(raw.bytes.as_slice().into()));
        Ok(Self { rows, cols, weights: own.map_or_else(candle, Weights::Own) })
    }

    /// Multiplies each row of `input` (`cols` long) and puts the products into `out` (`rows` long each).
    pub(crate) fn apply(
        &self,
        input: &Input,
        out: &mut Vec<f32>,
        pool: Option<&ThreadPool>,
    ) -> Result<(), EngineError> {
        let count = input.rows.len() / self.cols;
        out.resize(count * self.rows, 0.0);
        match &self.weights {
            Weights::Own(weights) => weights.apply(&input.quantised, out, pool),
            Weights::Candle(weights) => weights.matmul_t((count, self.cols, self.rows), &input.rows, out)?,
        }
        Ok(())
    }

    /// Copies rows out, as floating point numbers.
    pub(crate) fn pick(&self, rows: &[u32], out: &mut Vec<f32>) -> Result<(), EngineError> {
        match &self.weights {
            Weights::Own(weights) => weights.pick(rows, out),
            Weights::Candle(weights) => {
                let picked = weights.embedding(rows, self.rows, self.cols)?;
                out.clear();
                out.extend_from_slice(picked.as_slice::<f32>()?);
            }
        }
        Ok(())
    }
}
