//! Where things of MCP servers are kept: what they have in the user's home, tokens of logins where keys are.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use victor_mcp::client::{CatalogStore, TokenStore};

use crate::config::document::LIMIT;
use crate::env::Env;
use crate::home::Home;
use crate::keyring::Keyring;
use crate::platform::{self, Content, Links};

/// Bytes of what is known of one server at most.
const LONGEST: usize = 16 << 20;

/// What servers have, a file each.
pub(super) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(super) fn new(home: &Home) -> Self {
        Self { folder: home.mcp() }
    }
}

impl CatalogStore for Shelf {
    fn load(&self, key: &str) -> Option<Vec<u8>> {
        match platform::read_limited(&self.folder.join(format!("{key}.json")), LONGEST, Links::Follow) {
            Ok(Content::Bytes(bytes)) => Some(bytes),
            Ok(Content::Missing | Content::TooLong(_)) | Err(_) => None,
        }
    }

    fn save(&self, key: &str, bytes: &[u8]) {
        if bytes.len() > LONGEST || self.load(key).is_some_and(|old| old == bytes) {
            return;
        }
        let path = self.folder.join(format!("{key}.json"));
        let saved = platform::private_folder(&self.folder).and_then(|()| platform::replace_private_file(&path, bytes));
        if let Err(e) = saved {
            tracing::warn!(path = %path.display(), error = %e, "what is known of a server cannot be kept");
        }
    }
}

/// Tokens of logins: in the system's keyring, else in a file that only its owner can read.
pub(super) struct Tokens {
    folder: PathBuf,
    keyring: Keyring,
}

impl Tokens {
    pub(super) fn new(home: &Home, env: &Env) -> Self {
        Self { folder: home.mcp(), keyring: Keyring::find(env) }
    }

    fn path(&self, server: &str) -> PathBuf {
        let name: String = server
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("-{b:02x}") })
            .collect();
        self.folder.join(format!("{name}.token"))
    }
}

fn entry(server: &str) -> String {
    format!("mcp:{server}")
}

fn fault(path: &Path, what: impl std::fmt::Display) -> String {
    format!("{}: {what}", path.display())
}

impl TokenStore for Tokens {
    fn load(&self, server: &str) -> Result<Option<String>, String> {
        let path = self.path(server);
        // The file first: asking a keyring takes a while, and most servers need no login.
        match platform::read_limited(&path, LIMIT, Links::Refuse) {
            Ok(Content::Missing) => {}
            Ok(Content::Bytes(bytes)) => {
                if let Some(why) = platform::exposed(&path).map_err(|e| fault(&path, e))? {
                    return Err(fault(&path, format!("others can read the tokens in it ({why}); log in again")));
                }
                let text = String::from_utf8(bytes).map_err(|_| fault(&path, "it is not UTF-8"))?;
                if text != MARK {
                    return Ok(Some(text));
                }
                return Ok(self.keyring.get(&entry(server)).map(|s| s.expose_secret().to_owned()));
            }
            Ok(Content::TooLong(_)) => return Err(fault(&path, "it is too long")),
            Err(e) => return Err(fault(&path, format!("it cannot be read: {e}"))),
        }
        Ok(None)
    }

    fn save(&self, server: &str, secret: &str) -> Result<(), String> {
        let path = self.path(server);
        let text = match self.keyring.set(&entry(server), &SecretString::from(secret.to_owned())) {
            true => MARK,
            false => secret,
        };
        let saved = platform::private_folder(&self.folder);
        let saved = saved.and_then(|()| platform::replace_private_file(&path, text.as_bytes()));
        saved.map_err(|e| fault(&path, format!("it cannot be written: {e}")))
    }

    fn clear(&self, server: &str) -> Result<(), String> {
        let path = self.path(server);
        if self.load(server)?.is_some() {
            self.keyring.delete(&entry(server));
            std::fs::remove_file(&path).map_err(|e| fault(&path, format!("it cannot be removed: {e}")))?;
        }
        Ok(())
    }
}

/// What stands in the file when the tokens are in the keyring.
const MARK: &str = "in the keyring\n";
