//! Loading and saving of [`State`], which core keeps free of files.

use std::io;
use std::path::Path;

use victor_core::error::ConfigurationError;
use victor_core::state::State;

use crate::platform::{self, Content, Links};

/// The longest state that is read, in bytes.
const LIMIT: usize = 256 << 20;

/// A state in a JSON file.
pub trait StateFile: Sized {
    /// Reads a state that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it is no JSON object.
    fn load(path: impl AsRef<Path>) -> Result<Self, ConfigurationError>;

    /// Writes the state as a whole, or leaves the file as it was. The folder has to exist.
    ///
    /// # Errors
    /// The file cannot be written.
    fn save(&self, path: impl AsRef<Path>) -> Result<(), ConfigurationError>;
}

impl StateFile for State {
    fn load(path: impl AsRef<Path>) -> Result<Self, ConfigurationError> {
        let path = path.as_ref();
        let fail = |why: String| ConfigurationError::new(format!("state `{}` cannot be read: {why}", path.display()));
        match platform::read_limited(path, LIMIT, Links::Follow) {
            Ok(Content::Bytes(bytes)) => serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string())),
            Ok(Content::Missing) => Err(fail(io::Error::from(io::ErrorKind::NotFound).to_string())),
            Ok(Content::TooLong(_)) => Err(fail(format!("it is longer than {LIMIT} bytes"))),
            Err(e) => Err(fail(e.to_string())),
        }
    }

    fn save(&self, path: impl AsRef<Path>) -> Result<(), ConfigurationError> {
        let path = path.as_ref();
        let fail = |why: String| ConfigurationError::new(format!("state `{}` cannot be saved: {why}", path.display()));
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| fail(e.to_string()))?;
        text.push(b'\n');
        platform::replace_file(path, &text).map_err(|e| fail(e.to_string()))
    }
}
