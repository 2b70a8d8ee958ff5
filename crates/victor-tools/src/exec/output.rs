//! What a program prints: the beginning and the end for the answer, all of it in a file when it is too long.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::platform;

/// Bytes of the beginning and of the end that an answer holds.
const HEAD: usize = 15_000;
const TAIL: usize = 15_000;
/// Bytes of output that are kept in a file at most.
const SPILL_BYTES: u64 = 64 << 20;
/// Bytes that wait for whoever follows the run; older ones are dropped.
const LIVE: usize = 8_000;

/// The output of one program, as it comes in.
pub(crate) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    live: Vec<u8>,
    total: u64,
    head_most: usize,
    tail_most: usize,
    spill: Spill,
}

enum Spill {
    /// There is no folder for long outputs.
    Nowhere,
    /// Where the file goes once it is needed.
    Wanted(PathBuf),
    Open {
        path: PathBuf,
        file: File,
        written: u64,
    },
    /// The file holds the output up to here.
    Full {
        path: PathBuf,
        why: String,
    },
    Failed(String),
}

impl Capture {
    /// A capture that puts what is too long into `file`, which is only made then.
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { tail_most: TAIL, spill: file.map_or(Spill::Nowhere, Spill::Wanted), ..Self::whole(HEAD) }
    }

    /// A capture of the first `most` bytes.
    pub(crate) fn whole(most: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            live: Vec::new(),
            total: 0,
            head_most: most,
            tail_most: 0,
            spill: Spill::Nowhere,
        }
    }

    /// Takes in what the program printed.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (self.head_most - self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        if !rest.is_empty() {
            self.spill(rest);
            self.tail.extend(rest);
            let over = self.tail.len().saturating_sub(self.tail_most);
            self.tail.drain(..over);
        }
        self.live.extend_from_slice(bytes);
        let over = self.live.len().saturating_sub(LIVE);
        self.live.drain(..over);
    }

    /// What came in since this was last asked, as far as it is whole characters.
    pub(crate) fn take_live(&mut self) -> Option<String> {
        let end = match std::str::from_utf8(&self.live) {
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            _ => self.live.len(),
        };
        let text: Vec<u8> = self.live.drain(..end).collect();
        (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether the answer leaves something out.
    pub(crate) fn is_truncated(&self) -> bool {
        self.total > (self.head_most + self.tail_most) as u64
    }

    /// The file that holds what the answer leaves out.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.spill {
            Spill::Open { path, .. } | Spill::Full { path, .. } if self.is_truncated() => Some(path),
            _ => None,
        }
    }

    /// The output, or its beginning and end with a note on the rest.
    pub(crate) fn text(&self) -> String {
        let (a, b) = self.tail.as_slices();
        let tail = [a, b].concat();
        if !self.is_truncated() {
            return String::from_utf8_lossy(&[&self.head[..], &tail].concat()).into_owned();
        }
        let head = &self.head[..self.head.iter().rposition(|b| *b == b'\n').map_or(self.head.len(), |at| at + 1)];
        let tail = &tail[tail.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1)..];
        let left_out = self.total - (head.len() + tail.len()) as u64;
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        format!("{head}\n[... {left_out} of {} bytes left out; {} ...]\n\n{tail}", self.total, self.whereabouts())
    }

    /// The bytes of the beginning.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    fn whereabouts(&self) -> String {
        match &self.spill {
            Spill::Open { path, .. } => format!("the whole output is in {}, which read can show", path.display()),
            Spill::Full { path, why } => format!("its beginning is in {}, which read can show; {why}", path.display()),
            Spill::Failed(why) => format!("it could not be kept: {why}"),
            Spill::Nowhere | Spill::Wanted(_) => "it is not kept; print less, or to a file".to_owned(),
        }
    }

    /// Keeps `bytes`, which are behind the head. The file is only worth it once the answer leaves something out.
    fn spill(&mut self, bytes: &[u8]) {
        if let Spill::Wanted(path) = &self.spill
            && self.is_truncated()
        {
            let before: Vec<u8> = self.head.iter().chain(&self.tail).copied().collect();
            let path = path.clone();
            self.spill = match create(&path) {
                Ok((path, file)) => Spill::Open { path, file, written: 0 },
                Err(e) => Spill::Failed(e.to_string()),
            };
            self.write(&before);
        }
        self.write(bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        let Spill::Open { path, file, written } = &mut self.spill else { return };
        let room = usize::try_from(SPILL_BYTES - *written).unwrap_or(usize::MAX).min(bytes.len());
        let ended = match file.write_all(&bytes[..room]) {
            Err(e) => Some(format!("then {e}")),
            Ok(()) if room < bytes.len() => Some(format!("no more than {} MiB are kept", SPILL_BYTES >> 20)),
            Ok(()) => None,
        };
        *written += room as u64;
        if let Some(why) = ended {
            self.spill = Spill::Full { path: path.clone(), why };
        }
    }
}

/// Makes the file, under another name where the name is taken.
fn create(path: &Path) -> std::io::Result<(PathBuf, File)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    for n in 0..1000_u32 {
        let name = if n == 0 { path.to_owned() } else { path.with_extension(format!("{n}.txt")) };
        match platform::create_private(&name) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (name, file)),
        }
    }
    Err(std::io::Error::other(format!("{} and all names like it are taken", path.display())))
}
