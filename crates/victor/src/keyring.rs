//! The system's keyring: asked where there is one, and given up on quickly and quietly where it does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::SecretString;

use crate::env::Env;

/// The keyring, or nothing in its place.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    /// Whether it is worth asking; cleared by the first failure.
    there: Arc<AtomicBool>,
}

impl Keyring {
    /// The keyring of the user's session.
    pub(crate) fn find(env: &Env) -> Self {
        Self { there: Arc::new(AtomicBool::new(imp::may_exist(env))) }
    }

    /// The saved key.
    pub(crate) fn get(&self, provider: &str) -> Option<SecretString> {
        self.ask(|| imp::get(provider.to_owned()))?.map(SecretString::from)
    }

    /// Saves a key; tells whether it did.
    pub(crate) fn set(&self, provider: &str, key: &SecretString) -> bool {
        self.ask(|| imp::set(provider.to_owned(), key.clone())).is_some()
    }

    /// Deletes a key; tells whether there was one.
    pub(crate) fn delete(&self, provider: &str) -> bool {
        self.ask(|| imp::delete(provider.to_owned())).unwrap_or(false)
    }

    fn ask<T>(&self, question: impl FnOnce() -> Option<T>) -> Option<T> {
        if !self.there.load(Ordering::Relaxed) {
            return None;
        }
        let answer = question();
        if answer.is_none() {
            tracing::debug!("the keyring does not answer; it is not asked again");
            self.there.store(false, Ordering::Relaxed);
        }
        answer
    }
}

#[cfg(feature = "keyring")]
mod imp {
    use std::sync::mpsc;
    use std::time::Duration;

    use keyring::{Entry, Error};
    use secrecy::{ExposeSecret as _, SecretString};

    use crate::env::Env;

    const SERVICE: &str = "victor";
    /// A keyring that has to ask its user for a password first gets this long.
    const PATIENCE: Duration = Duration::from_secs(3);

    pub(super) fn may_exist(env: &Env) -> bool {
        let bus = || env.path("XDG_RUNTIME_DIR").is_some_and(|dir| dir.join("bus").exists());
        !cfg!(target_os = "linux") || env.var("DBUS_SESSION_BUS_ADDRESS").is_some() || bus()
    }

    /// `None`: no keyring answers. `Some(None)`: it has no such key.
    pub(super) fn get(provider: String) -> Option<Option<String>> {
        in_time(move || match Entry::new(SERVICE, &provider).and_then(|e| e.get_password()) {
            Ok(key) => Some(Some(key)),
            Err(Error::NoEntry) => Some(None),
            Err(_) => None,
        })
    }

    pub(super) fn set(provider: String, key: SecretString) -> Option<()> {
        in_time(move || Entry::new(SERVICE, &provider).and_then(|e| e.set_password(key.expose_secret())).ok())
    }

    pub(super) fn delete(provider: String) -> Option<bool> {
        in_time(move || match Entry::new(SERVICE, &provider).and_then(|e| e.delete_credential()) {
            Ok(()) => Some(true),
            Err(Error::NoEntry) => Some(false),
            Err(_) => None,
        })
    }

    /// On a thread of its own: a keyring that hangs must not hang Victor.
    fn in_time<T: Send + 'static>(work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("keyring".to_owned());
        thread.spawn(move || drop(sender.send(work()))).ok()?;
        receiver.recv_timeout(PATIENCE).ok().flatten()
    }
}

#[cfg(not(feature = "keyring"))]
mod imp {
    use secrecy::SecretString;

    use crate::env::Env;

    pub(super) fn may_exist(_: &Env) -> bool {
        false
    }

    pub(super) fn get(_: String) -> Option<Option<String>> {
        None
    }

    pub(super) fn set(_: String, _: SecretString) -> Option<()> {
        None
    }

    pub(super) fn delete(_: String) -> Option<bool> {
        None
    }
}
