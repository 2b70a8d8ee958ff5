//! The head of a GGUF file is looked through before it is read: a list of numbers takes thirty times its place in the
//! file when it is kept, so a small file could take all memory. The format: github.com/ggml-org/ggml, `docs/gguf.md`.

use std::io::{self, BufReader, Read, Seek};

/// Values of metadata, those in lists counted: the largest vocabularies have a fourth of that.
const VALUES: u64 = 4 << 20;
/// Bytes in all texts: the largest vocabularies have some ten million.
const TEXT: u64 = 64 << 20;
/// Tensors: the largest models have some thousands.
const TENSORS: u64 = 1 << 16;
/// Lists in lists.
const DEPTH: u32 = 8;

/// Checks that the head of a file of `length` bytes is no larger than that of any model.
///
/// # Errors
/// It is, or it ends early.
pub(super) fn check<R: Read + Seek>(reader: &mut BufReader<R>, length: u64) -> Result<(), String> {
    let mut head = Head { reader, length, wide: true, values: VALUES, text: TEXT };
    match head.walk() {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err("it ends in its head".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

struct Head<'a, R: Read + Seek> {
    reader: &'a mut BufReader<R>,
    length: u64,
    /// Whether counts have eight bytes.
    wide: bool,
    /// Values that may still come.
    values: u64,
    /// Bytes of text that may still come.
    text: u64,
}

impl<R: Read + Seek> Head<'_, R> {
    /// A kind of file or value that is not known is left to the reader, which refuses it where it meets it.
    fn walk(&mut self) -> io::Result<()> {
        self.skip(4)?;
        self.wide = match self.four()? {
            1 => false,
            2 | 3 => true,
            _ => return Ok(()),
        };
        let (tensors, entries) = (self.count()?, self.count()?);
        if tensors > TENSORS {
            return Err(too_many("tensors", TENSORS));
        }
        for _ in 0..entries {
            self.string()?;
            let kind = self.four()?;
            if !self.values(kind, 1, 0)? {
                return Ok(());
            }
        }
        for _ in 0..tensors {
            self.string()?;
            let dimensions = u64::from(self.four()?);
            self.skip(dimensions * if self.wide { 8 } else { 4 })?;
            // Type and place.
            self.skip(4 + 8)?;
        }
        Ok(())
    }

    /// Passes over so many values; `false` where their kind is not known.
    fn values(&mut self, kind: u32, count: u64, depth: u32) -> io::Result<bool> {
        self.values = self.values.checked_sub(count).ok_or_else(|| too_many("values", VALUES))?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..count {
                    self.string()?;
                }
                return Ok(true);
            }
            9 if depth == DEPTH => return Err(io::Error::other("its metadata has lists in lists without end")),
            9 => {
                for _ in 0..count {
                    let (kind, count) = (self.four()?, self.count()?);
                    if !self.values(kind, count, depth + 1)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.skip(count * width).map(|()| true)
    }

    fn string(&mut self) -> io::Result<()> {
        let bytes = self.count()?;
        self.text = self.text.checked_sub(bytes).ok_or_else(|| too_many("bytes of text", TEXT))?;
        self.skip(bytes)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match i64::try_from(bytes) {
            Ok(offset) if bytes <= self.length => self.reader.seek_relative(offset),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn count(&mut self) -> io::Result<u64> {
        if !self.wide {
            return self.four().map(u64::from);
        }
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn four(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.reader.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

fn too_many(what: &str, most: u64) -> io::Error {
    io::Error::other(format!("its head has more than {most} {what}, which no model needs"))
}
