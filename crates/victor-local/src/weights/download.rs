//! One file over HTTP: resumed where it broke off, in this process or another, and checked while it is written.

use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use reqwest::Url;

use super::error::WeightsError;
use super::hash::HashedFile;
use super::http::{Answer, Http};
use super::job::Job;
use super::part::Part;
use super::progress::{Step, Work};

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

/// A download into a part file, beside which stands what the server said of it.
pub(super) struct Download<'a> {
    pub(super) http: &'a dyn Http,
    pub(super) patience: Patience,
    pub(super) job: &'a Job,
    pub(super) part: Part,
}

impl Download<'_> {
    /// Fetches the file into the part. Gives its checksum.
    ///
    /// # Errors
    /// The server does not give it, or gives another file. What came before stays, unless its checksum is wrong.
    pub(super) async fn fetch(&self, wanted: &Wanted<'_>) -> Result<String, WeightsError> {
        if let Some(sha256) = self.whole(wanted).await? {
            return Ok(sha256);
        }
        let mut barren = 0;
        let mut pieced = self.part.length() > 0;
        let mut anew = false;
        loop {
            let before = self.part.length();
            match self.attempt(wanted).await? {
                Reached::End(sha256) => match self.checked(wanted, sha256) {
                    // What came over an earlier connection may be what is wrong: once more, from the beginning.
                    Err(e @ WeightsError::Damaged { .. }) if pieced && !anew => {
                        anew = true;
                        self.job.tell(Step::Again { why: e.to_string() });
                    }
                    ended => return ended,
                },
                Reached::Broke(why) => {
                    let now = self.part.length();
                    barren = if now > before { 0 } else { barren + 1 };
                    pieced |= now > 0;
                    if barren >= self.patience.tries {
                        return Err(WeightsError::Source(why));
                    }
                    self.job.tell(Step::Again { why });
                    tokio::time::sleep(self.patience.pause).await;
                }
            }
        }
    }

    /// The checksum of the part, where it is the whole file already.
    async fn whole(&self, wanted: &Wanted<'_>) -> Result<Option<String>, WeightsError> {
        let Some(sha256) = wanted.sha256.filter(|_| wanted.bytes == Some(self.part.length())) else { return Ok(None) };
        let file = self.open(self.part.length()).await?;
        let found = self.job.block(move |_| file.finish()).await?.map_err(self.fail())?;
        Ok((found == sha256).then_some(found))
    }

    fn checked(&self, wanted: &Wanted<'_>, found: String) -> Result<String, WeightsError> {
        match wanted.sha256 {
            Some(expected) if expected != found => {
                self.part.discard();
                let what = wanted.what();
                Err(WeightsError::Damaged { what, expected: expected.to_owned(), found })
            }
            _ => Ok(found),
        }
    }

    /// One connection, from where the part ends.
    async fn attempt(&self, wanted: &Wanted<'_>) -> Result<Reached, WeightsError> {
        let resume = self.part.resume(wanted);
        let asked = tokio::time::timeout(self.patience.silence, self.http.get(wanted.url, resume.as_ref())).await;
        let answer = match asked {
            Err(_) => return Ok(Reached::Broke(self.silent())),
            // Nothing came yet, so that a server which is not there is not waited for.
            Ok(Err(why)) if resume.is_none() => return Err(WeightsError::Source(why)),
            Ok(Err(why)) => return Ok(Reached::Broke(why)),
            Ok(Ok(answer)) => answer,
        };
        judge(wanted, &answer)?;
        if resume.as_ref().is_some_and(|resume| resume.is_of_another(&answer)) {
            self.part.discard();
            return Ok(Reached::Broke("the file there is another one now".to_owned()));
        }
        match resume.map_or(0, |resume| resume.from) {
            here if here == answer.from => self.receive(wanted, answer, here).await,
            here if answer.from == 0 && self.part.is_of(wanted, &answer) => self.receive(wanted, answer, here).await,
            _ if answer.from == 0 => self.receive(wanted, answer, 0).await,
            // Put at another place it would be another file.
            _ => Ok(Reached::Broke("it sends another part than was asked for".to_owned())),
        }
    }

    /// Takes what comes behind what is `here`.
    async fn receive(&self, wanted: &Wanted<'_>, mut answer: Answer, here: u64) -> Result<Reached, WeightsError> {
        let total = answer.total.or(wanted.bytes).unwrap_or_default();
        fits(wanted, total)?;
        let mut file = self.open(here).await?;
        self.part.note(wanted, answer.validator.take())?;
        // A server that cannot send a part sends what is here once more: it is passed over, not lost.
        let mut again = here - answer.from;
        self.job.tell(Step::Begin { work: Work::Download, from: wanted.from.clone(), done: answer.from, total });
        loop {
            let mut piece = match tokio::time::timeout(self.patience.silence, answer.body.next()).await {
                Err(_) => return Ok(Reached::Broke(self.silent())),
                Ok(Some(Err(why))) => return Ok(Reached::Broke(format!("the connection broke: {why}"))),
                Ok(None) => break,
                Ok(Some(Ok(piece))) => piece,
            };
            let passed = usize::try_from(again).map_or(piece.len(), |again| again.min(piece.len()));
            again -= passed as u64;
            file.write_all(&piece.split_off(passed)).map_err(self.fail())?;
            self.job.tell(Step::At(file.length() - again));
            fits(wanted, file.length()).inspect_err(|_| self.part.cut(here))?;
            if let Some(expected) = wanted.bytes.filter(|bytes| file.length() > *bytes) {
                self.part.cut(here);
                return Err(WeightsError::WrongSize { what: wanted.what(), expected, found: file.length() });
            }
        }
        if again > 0 || file.length() < total {
            return Ok(Reached::Broke("the connection ended before the file did".to_owned()));
        }
        let finished = self.job.block(move |_| file.finish()).await?;
        Ok(Reached::End(finished.map_err(self.fail())?))
    }

    /// The part, to be gone on with behind what is `here`.
    async fn open(&self, here: u64) -> Result<HashedFile, WeightsError> {
        if here == 0 {
            return HashedFile::create(&self.part.path).map_err(self.fail());
        }
        let (path, from) = (self.part.path.clone(), self.part.path.display().to_string());
        self.job.tell(Step::Begin { work: Work::Check, from, done: 0, total: here });
        let read = self.job.block(move |job| HashedFile::resume(&path, |at| job.at(at))).await?;
        read.map_err(self.fail())
    }

    fn fail(&self) -> impl FnOnce(std::io::Error) -> WeightsError {
        WeightsError::file(&self.part.path, "written")
    }

    fn silent(&self) -> String {
        format!("nothing came for {:.0?}", self.patience.silence)
    }
}

/// Whether an answer can be the file. It is judged before anything that came earlier is touched.
fn judge(wanted: &Wanted<'_>, answer: &Answer) -> Result<(), WeightsError> {
    let what = wanted.what();
    if answer.is_page() {
        return Err(WeightsError::Page(what));
    }
    match (wanted.bytes, answer.total) {
        (Some(expected), Some(found)) if expected != found => Err(WeightsError::WrongSize { what, expected, found }),
        _ => Ok(()),
    }
}

/// A file without end must not take the whole disk.
fn fits(wanted: &Wanted<'_>, bytes: u64) -> Result<(), WeightsError> {
    if wanted.most.is_none_or(|most| bytes <= most) {
        return Ok(());
    }
    Err(WeightsError::Source("it is larger than the room on the disk; VICTOR_HOME can be on another one".to_owned()))
}

/// Where an attempt got to.
enum Reached {
    /// The file is whole and has this checksum.
    End(String),
    /// It broke off; what came is kept.
    Broke(String),
}
