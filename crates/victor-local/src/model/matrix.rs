//! A weight matrix in the file's own quantisation, and its product with rows of activations.

use candle_core::quantized::QuantizedType;

use crate::error::EngineError;
use crate::gguf::{Gguf, Raw};

/// `rows` outputs of `cols` inputs each.
pub(crate) struct Matrix {
    rows: usize,
    cols: usize,
    weights: Box<dyn QuantizedType>,
}

impl Matrix {
    /// Reads a tensor of the expected shape.
    pub(crate) fn read(file: &mut Gguf, name: &str, rows: usize, cols: usize) -> Result<Self, EngineError> {
        let raw = file.tensor(name)?;
        if (raw.rows, raw.cols) != (rows, cols) {
            let shape = (raw.rows, raw.cols);
            return Err(file.wrong(format!("the tensor `{name}` has the shape {shape:?}, not {:?}", (rows, cols))));
        }
        Ok(Self::new(&raw))
    }

    fn new(raw: &Raw) -> Self {
        Self { rows: raw.rows, cols: raw.cols, weights: raw.dtype.from_data(raw.bytes.as_slice().into()) }
    }

    /// The number of outputs.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of inputs.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Multiplies each row of `x` (`cols` long) and puts the products into `out` (`rows` long each).
    pub(crate) fn apply(&self, x: &[f32], out: &mut [f32]) -> Result<(), EngineError> {
        let count = x.len() / self.cols;
        Ok(self.weights.matmul_t((count, self.cols, self.rows), x, out)?)
    }

    /// Copies rows out, as floating point numbers.
    pub(crate) fn pick(&self, rows: &[u32], out: &mut Vec<f32>) -> Result<(), EngineError> {
        let picked = self.weights.embedding(rows, self.rows, self.cols)?;
        out.clear();
        out.extend_from_slice(picked.as_slice::<f32>()?);
        Ok(())
    }
}
