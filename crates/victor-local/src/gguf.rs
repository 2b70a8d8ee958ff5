//! GGUF files: typed look-ups in the metadata, and tensors read one by one.
//! The format: github.com/ggml-org/ggml, `docs/gguf.md`.

mod head;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};

use crate::error::EngineError;

/// An open GGUF file.
pub(crate) struct Gguf {
    content: Content,
    reader: BufReader<File>,
    name: String,
    /// Bytes of tensors that may still be read: no file holds more than itself, and a tensor may have two uses.
    left: u64,
}

/// A tensor as it stands in the file.
pub(crate) struct Raw {
    pub(crate) dtype: GgmlDType,
    /// Rows, then the length of a row; a vector is one row.
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Gguf {
    /// Opens a file and reads its head.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let name = path.display().to_string();
        let wrong = |e: &dyn std::fmt::Display| EngineError::Model(format!("{name}: {e}"));
        let file = File::open(path).map_err(|e| wrong(&e))?;
        let length = file.metadata().map_err(|e| wrong(&e))?.len();
        let left = length.saturating_mul(2);
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let refused = |e: &dyn std::fmt::Display| wrong(&format!("not a readable GGUF file: {e}"));
        head::check(&mut reader, length).map_err(|e| refused(&e))?;
        reader.rewind().map_err(|e| wrong(&e))?;
        // It divides by the alignment that the file names, which may be 0.
        let read = catch_unwind(AssertUnwindSafe(|| Content::read(&mut reader)));
        let content = match read {
            Ok(Ok(content)) => content,
            Ok(Err(e)) => return Err(refused(&e)),
            Err(_) => return Err(wrong(&"not a readable GGUF file")),
        };
        Ok(Self { content, reader, name, left })
    }

    /// All metadata, by key.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.content.metadata.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// The tensors in the order of their names.
    pub(crate) fn tensors(&self) -> Vec<(&str, &TensorInfo)> {
        let mut list: Vec<_> = self.content.tensor_infos.iter().map(|(k, v)| (k.as_str(), v)).collect();
        list.sort_by_key(|(name, _)| *name);
        list
    }

    /// An error about this file.
    pub(crate) fn wrong(&self, what: impl std::fmt::Display) -> EngineError {
        EngineError::Model(format!("{}: {what}", self.name))
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    /// A whole number of any width.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        number(self.content.metadata.get(key)?)
    }

    /// A whole number that must be there.
    pub(crate) fn size(&self, key: &str) -> Result<usize, EngineError> {
        let value = self.number(key).ok_or_else(|| self.wrong(format!("`{key}` is missing")))?;
        usize::try_from(value).map_err(|_| self.wrong(format!("`{key}` is {value}")))
    }

    /// A floating point number.
    pub(crate) fn real(&self, key: &str) -> Option<f32> {
        self.content.metadata.get(key)?.to_f32().ok()
    }

    /// A truth value.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.content.metadata.get(key)?.to_bool().ok()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let list = self.content.metadata.get(key)?.to_vec().ok()?;
        list.iter().map(|v| v.to_string().ok().cloned()).collect()
    }

    /// A list of whole numbers.
    pub(crate) fn numbers(&self, key: &str) -> Option<Vec<u64>> {
        self.content.metadata.get(key)?.to_vec().ok()?.iter().map(number).collect()
    }

    /// A list of floating point or whole numbers.
    pub(crate) fn reals(&self, key: &str) -> Option<Vec<f32>> {
        let list = self.content.metadata.get(key)?.to_vec().ok()?;
        #[expect(clippy::cast_precision_loss, reason = "ranks of tokens are far below 2^24")]
        let real = |v: &Value| v.to_f32().or_else(|_| v.to_i32().map(|n| n as f32)).ok();
        list.iter().map(real).collect()
    }

    /// A list of truth values.
    pub(crate) fn flags(&self, key: &str) -> Option<Vec<bool>> {
        self.content.metadata.get(key)?.to_vec().ok()?.iter().map(|v| v.to_bool().ok()).collect()
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, tensor: &str) -> bool {
        self.content.tensor_infos.contains_key(tensor)
    }

    /// Reads one tensor.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<Raw, EngineError> {
        let Some(info) = self.content.tensor_infos.get(name) else {
            return Err(self.wrong(format!("the tensor `{name}` is missing")));
        };
        let (rows, cols) = match *info.shape.dims() {
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            ref dims => return Err(self.wrong(format!("the tensor `{name}` has the shape {dims:?}"))),
        };
        let (dtype, offset) = (info.ggml_dtype, self.content.tensor_data_offset.checked_add(info.offset));
        if !cols.is_multiple_of(dtype.block_size()) {
            return Err(self.wrong(format!("the rows of `{name}` are no whole blocks of {dtype:?}")));
        }
        let size = rows.checked_mul(cols / dtype.block_size()).and_then(|blocks| blocks.checked_mul(dtype.type_size()));
        let rest = size.and_then(|size| self.left.checked_sub(size as u64));
        let (Some(size), Some(rest), Some(offset)) = (size, rest, offset) else {
            return Err(self.wrong(format!("the tensor `{name}` cannot be read: the file is too short for it")));
        };
        self.left = rest;
        let mut bytes = vec![0; size];
        self.reader
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.reader.read_exact(&mut bytes))
            .map_err(|e| self.wrong(format!("the tensor `{name}` cannot be read: {e}")))?;
        Ok(Raw { dtype, rows, cols, bytes })
    }

    /// Reads a vector of floating point numbers.
    pub(crate) fn vector(&mut self, name: &str) -> Result<Vec<f32>, EngineError> {
        let raw = self.tensor(name)?;
        raw.floats()
    }

    /// Reads a vector of `width` floating point numbers.
    pub(crate) fn row(&mut self, name: &str, width: usize) -> Result<Vec<f32>, EngineError> {
        let row = self.vector(name)?;
        match row.len() == width {
            true => Ok(row),
            false => Err(self.wrong(format!("the tensor `{name}` has {} parts, not {width}", row.len()))),
        }
    }

    /// Reads rows of `width` floating point numbers, at least one.
    pub(crate) fn table(&mut self, name: &str, width: usize) -> Result<Vec<f32>, EngineError> {
        let raw = self.tensor(name)?;
        match raw.cols == width && raw.rows > 0 {
            true => raw.floats(),
            false => Err(self.wrong(format!("the rows of `{name}` have {} parts, not {width}", raw.cols))),
        }
    }
}

impl Raw {
    /// The values as floating point numbers.
    pub(crate) fn floats(&self) -> Result<Vec<f32>, EngineError> {
        if self.dtype == GgmlDType::F32 {
            let (numbers, _) = self.bytes.as_chunks::<4>();
            return Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect());
        }
        let data = self.dtype.from_data(self.bytes.as_slice().into()).dequantize(self.rows * self.cols)?;
        Ok(data.as_slice::<f32>()?.to_vec())
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::U8(n) => Some(u64::from(*n)),
        Value::U16(n) => Some(u64::from(*n)),
        Value::U32(n) => Some(u64::from(*n)),
        Value::U64(n) => Some(*n),
        Value::I8(n) => u64::try_from(*n).ok(),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::I64(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}
