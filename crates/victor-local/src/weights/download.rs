//! One file over HTTP: resumed where it broke off, in this process or another, and checked while it is written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::error::WeightsError;
use super::hash::HashedFile;
use super::http::{Answer, Http, Resume};
use super::progress::{Progress, Step, Work};

/// How long a server may keep silent, and how often it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest wait for an answer, and between two pieces of it.
    pub silence: Duration,
    /// Tries in a row that bring nothing.
    pub tries: u32,
    /// Wait before the next try.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(60), tries: 4, pause: Duration::from_secs(2) }
    }
}

/// What is fetched.
pub(super) struct Wanted<'a> {
    /// The address.
    pub(super) url: &'a str,
    /// Its size, where it is known.
    pub(super) bytes: Option<u64>,
    /// Its checksum, where it is known.
    pub(super) sha256: Option<&'a str>,
    /// The size that there is room for, where its own is not known.
    pub(super) most: Option<u64>,
    /// Where it comes from, for people.
    pub(super) from: String,
}

impl Wanted<'_> {
    /// What it is, for people: without what an address may hold of secrets.
    pub(super) fn what(&self) -> String {
        format!("the file at {}", shown(self.url))
    }
}

/// An address without its user, password, query and fragment.
pub(super) fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "an address that cannot be read".to_owned() };
    // An address that can hold neither has none.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// A download: a part file, and beside it what the server said of it.
pub(super) struct Download<'a> {
    pub(super) http: &'a dyn Http,
    pub(super) patience: Patience,
    pub(super) progress: &'a Arc<dyn Progress>,
    /// The part; it stays when the download breaks off.
    pub(super) part: PathBuf,
}

/// What the part belongs to.
#[derive(Serialize, Deserialize)]
struct Note {
    url: String,
    validator: Option<String>,
}

impl Download<'_> {
    /// Fetches the file into the part. Gives its checksum.
    ///
    /// # Errors
    /// The server does not give it, or gives another file; what is damaged is removed.
    pub(super) async fn fetch(&self, wanted: &Wanted<'_>) -> Result<String, WeightsError> {
        let mut barren = 0;
        let mut inherited = length(&self.part) > 0;
        loop {
            let before = length(&self.part);
            match self.attempt(wanted).await? {
                Reached::End(sha256) => match self.checked(wanted, sha256) {
                    // What another process left may be what is damaged: once more, from the beginning.
                    Err(e @ WeightsError::Damaged { .. }) if inherited => {
                        inherited = false;
                        self.progress.tell(Step::Again { why: e.to_string() });
                    }
                    ended => return ended,
                },
                Reached::Broke(why) => {
                    barren = if length(&self.part) > before { 0 } else { barren + 1 };
                    if barren >= self.patience.tries {
                        return Err(WeightsError::Source(why));
                    }
                    self.progress.tell(Step::Again { why });
                    tokio::time::sleep(self.patience.pause).await;
                }
            }
        }
    }

    fn checked(&self, wanted: &Wanted<'_>, found: String) -> Result<String, WeightsError> {
        match wanted.sha256 {
            Some(expected) if expected != found => {
                self.discard();
                let what = wanted.what();
                Err(WeightsError::Damaged { what, expected: expected.to_owned(), found })
            }
            _ => Ok(found),
        }
    }

    /// One connection, from where the part ends.
    async fn attempt(&self, wanted: &Wanted<'_>) -> Result<Reached, WeightsError> {
        let resume = self.resume(wanted);
        let asked = tokio::time::timeout(self.patience.silence, self.http.get(wanted.url, resume.as_ref())).await;
        let answer = match asked {
            Err(_) => return Ok(Reached::Broke(self.silent())),
            // Nothing came yet, so that a server which is not there is not waited for.
            Ok(Err(why)) if resume.is_none() => return Err(WeightsError::Source(why)),
            Ok(Err(why)) => return Ok(Reached::Broke(why)),
            Ok(Ok(answer)) => answer,
        };
        if let (Some(expected), Some(found)) = (wanted.bytes, answer.total)
            && expected != found
        {
            self.discard();
            return Err(WeightsError::WrongSize { what: wanted.what(), expected, found });
        }
        // Put at another place it would be another file.
        if answer.from != 0 && Some(answer.from) != resume.map(|resume| resume.from) {
            return Ok(Reached::Broke("it sends another part than was asked for".to_owned()));
        }
        self.receive(wanted, answer).await
    }

    async fn receive(&self, wanted: &Wanted<'_>, mut answer: Answer) -> Result<Reached, WeightsError> {
        let fail = || WeightsError::file(&self.part, "written");
        let total = answer.total.or(wanted.bytes).unwrap_or_default();
        self.fits(wanted, total)?;
        let mut file = self.open(answer.from, total).await?;
        self.note(wanted.url, answer.validator.take())?;
        let (from, done) = (wanted.from.clone(), file.length());
        self.progress.tell(Step::Begin { work: Work::Download, from, done, total });
        loop {
            let piece = match tokio::time::timeout(self.patience.silence, answer.body.next()).await {
                Err(_) => return Ok(Reached::Broke(self.silent())),
                Ok(Some(Err(why))) => return Ok(Reached::Broke(format!("the connection broke: {why}"))),
                Ok(None) => break,
                Ok(Some(Ok(piece))) => piece,
            };
            file.write_all(&piece).map_err(fail())?;
            self.progress.tell(Step::At(file.length()));
            self.fits(wanted, file.length())?;
            if let Some(expected) = wanted.bytes.filter(|bytes| file.length() > *bytes) {
                let found = file.length();
                self.discard();
                return Err(WeightsError::WrongSize { what: wanted.what(), expected, found });
            }
        }
        if file.length() < total {
            return Ok(Reached::Broke("the connection ended before the file did".to_owned()));
        }
        let finished = tokio::task::spawn_blocking(move || file.finish()).await;
        Ok(Reached::End(joined(finished)?.map_err(fail())?))
    }

    /// A file without end must not take the whole disk.
    fn fits(&self, wanted: &Wanted<'_>, bytes: u64) -> Result<(), WeightsError> {
        if wanted.most.is_none_or(|most| bytes <= most) {
            return Ok(());
        }
        self.discard();
        Err(WeightsError::Source(format!("{} is larger than the room on the disk", wanted.what())))
    }

    /// The part, to be gone on with if the answer does.
    async fn open(&self, from: u64, total: u64) -> Result<HashedFile, WeightsError> {
        let fail = || WeightsError::file(&self.part, "written");
        if from == 0 || from != length(&self.part) {
            return HashedFile::create(&self.part).map_err(fail());
        }
        let (part, progress) = (self.part.clone(), Arc::clone(self.progress));
        let what = self.part.display().to_string();
        progress.tell(Step::Begin { work: Work::Check, from: what, done: 0, total: total.min(from) });
        let read = tokio::task::spawn_blocking(move || HashedFile::resume(&part, |at| progress.tell(Step::At(at))));
        joined(read.await)?.map_err(fail())
    }

    /// What is there of the same file.
    fn resume(&self, wanted: &Wanted<'_>) -> Option<Resume> {
        let from = length(&self.part);
        if from == 0 || wanted.bytes.is_some_and(|bytes| from >= bytes) {
            return None;
        }
        let note: Note = serde_json::from_slice(&fs::read(self.note_path()).ok()?).ok()?;
        // Without a checksum only the server can tell that it is still the same file.
        let certain = wanted.sha256.is_some() || note.validator.is_some();
        (certain && note.url == wanted.url).then_some(Resume { from, validator: note.validator })
    }

    fn note(&self, url: &str, validator: Option<String>) -> Result<(), WeightsError> {
        let note = Note { url: url.to_owned(), validator };
        let text = serde_json::to_vec(&note).unwrap_or_default();
        fs::write(self.note_path(), text).map_err(WeightsError::file(&self.note_path(), "written"))
    }

    fn note_path(&self) -> PathBuf {
        self.part.with_extension("json")
    }

    /// Removes the part; one that cannot be removed is replaced by the next download.
    pub(super) fn discard(&self) {
        for path in [&self.part, &self.note_path()] {
            let _ = fs::remove_file(path);
        }
    }

    fn silent(&self) -> String {
        format!("nothing came for {:.0?}", self.patience.silence)
    }
}

/// Where an attempt got to.
enum Reached {
    /// The file is whole and has this checksum.
    End(String),
    /// It broke off; what came is kept.
    Broke(String),
}

/// The size of a file; 0 where there is none.
pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// The result of work on another thread.
pub(super) fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, WeightsError> {
    ended.map_err(|e| WeightsError::Source(format!("the work ended early: {e}")))
}
