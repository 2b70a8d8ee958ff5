//! Makes a file fast: some quantisations have no fast kernel here. A file that holds one gets the fastest throughout,
//! once, at install.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::gguf::{Gguf, Raw};
use crate::model::Config;

/// What slow quantisations become: nearly as exact as what they were made from.
const FAST: GgmlDType = GgmlDType::Q8_0;

/// Whether a model's file holds weights that run several times faster after [`requantise`].
///
/// # Errors
/// The file is no readable GGUF file, or of a kind that the engine cannot run.
pub fn needs_requantising(file: &Path) -> Result<bool, RequantiseError> {
    let file = Gguf::open(file)?;
    Config::read(&file)?;
    Ok(file.tensors().iter().any(|(_, info)| is_slow(info.ggml_dtype)))
}

/// Copies the model in `from` to `to`, with its weights of four to eight bits in the fastest quantisation. Nothing else
/// changes; the same input gives the same bytes. `to` is written in place: hand in a path beside the final one and
/// rename. Given up between two tensors when `stop` is cancelled.
///
/// # Errors
/// A file cannot be read or written, or it was given up.
pub fn requantise(from: &Path, to: &Path, stop: &CancellationToken) -> Result<(), RequantiseError> {
    let mut file = Gguf::open(from)?;
    let names: Vec<String> = file.tensors().iter().map(|(name, _)| (*name).to_owned()).collect();
    let tensors = names.iter().map(|name| {
        go_on(stop)?;
        let dims = file.tensors().iter().find(|(n, _)| n == name).map(|(_, info)| info.shape.dims().to_vec());
        Ok((name.as_str(), tensor(&file.tensor(name)?, dims.unwrap_or_default())?))
    });
    let tensors = tensors.collect::<Result<Vec<_>, EngineError>>()?;
    let mut metadata: Vec<_> = file.metadata().map(|(k, v)| (k, rewritten(k, v))).collect();
    metadata.sort_by(|a, b| a.0.cmp(b.0));
    let metadata: Vec<_> = metadata.iter().map(|(k, v)| (*k, v)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(k, v)| (*k, v)).collect();
    go_on(stop)?;
    let wrong = |e: &dyn std::fmt::Display| RequantiseError(format!("{} cannot be written: {e}", to.display()));
    let mut out = BufWriter::new(File::create(to).map_err(|e| wrong(&e))?);
    gguf_file::write(&mut out, &metadata, &tensors).map_err(|e| wrong(&e))?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|e| wrong(&e))
}

/// Why a model's file could not be made fast.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequantiseError(String);

impl From<EngineError> for RequantiseError {
    fn from(e: EngineError) -> Self {
        Self(e.to_string())
    }
}

/// Whether the work is still wanted.
///
/// # Errors
/// It is not.
pub(crate) fn go_on(stop: &CancellationToken) -> Result<(), EngineError> {
    if stop.is_cancelled() {
        return Err(EngineError::Model("the conversion was given up".to_owned()));
    }
    Ok(())
}

fn is_slow(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_1)
}

/// What is turned into [`FAST`] where a file has to be written anew: candle's products with the others take several
/// times as long as ours with that, so a part of them holds up the whole. The smallest stay, as they would grow most.
fn is_turned(dtype: GgmlDType) -> bool {
    use GgmlDType as T;
    match dtype {
        T::Q4_0 | T::Q4_1 | T::Q5_0 | T::Q5_1 | T::Q8_1 | T::Q4K | T::Q5K | T::Q6K => true,
        T::F32 | T::F16 | T::BF16 | T::Q8_0 | T::Q2K | T::Q3K | T::Q8K => false,
    }
}

fn tensor(raw: &Raw, dims: Vec<usize>) -> Result<QTensor, EngineError> {
    if is_turned(raw.dtype) {
        let values = Tensor::from_vec(raw.floats()?, dims, &Device::Cpu)?;
        return Ok(QTensor::quantize(&values, FAST)?);
    }
    let storage = candle_core::quantized::QStorage::from_data(raw.bytes.as_slice().into(), &Device::Cpu, raw.dtype)?;
    Ok(QTensor::new(storage, dims)?)
}

/// The file's type says what most weights are (7: Q8_0, llama.h).
fn rewritten(key: &str, value: &Value) -> Value {
    match key {
        "general.file_type" => Value::U32(7),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_with_slow_weights_all_of_four_bits_and_more_become_fast_and_keep_their_values() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.gguf"), folder.path().join("to.gguf"));
        use GgmlDType as T;
        let kinds = [T::Q3K, T::Q4K, T::Q5_0, T::Q6K, T::Q8_0, T::F16, T::F32];
        let values: Vec<f32> = (0u8..=255).map(|i| f32::from(i) / 256.0 - 0.5).collect();
        let values = Tensor::from_vec([values.clone(), values].concat(), (2, 256), &Device::Cpu).unwrap();
        let tensors = kinds.map(|kind| (format!("{kind:?}"), QTensor::quantize(&values, kind).unwrap()));
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        gguf_file::write(&mut File::create(&from).unwrap(), &[], &tensors).unwrap();
        requantise(&from, &to, &CancellationToken::new()).unwrap();
        let (mut before, mut after) = (Gguf::open(&from).unwrap(), Gguf::open(&to).unwrap());
        for kind in kinds {
            let name = format!("{kind:?}");
            let (old, new) = (before.tensor(&name).unwrap(), after.tensor(&name).unwrap());
            assert_eq!(new.dtype, if is_turned(kind) { FAST } else { kind }, "{name}");
            let far = old.floats().unwrap().into_iter().zip(new.floats().unwrap()).any(|(a, b)| (a - b).abs() > 0.004);
            assert!(!far, "{name}");
        }
    }
}
