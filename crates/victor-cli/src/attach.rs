//! Files that a person shows the agent: text as a fenced block with its path, images as images.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use victor::message::{Block, Media, MediaSource};
use victor::permission::{Access, PermissionKey, RuleEffect, Rules};
use victor::sandbox::Workspace;

use crate::exit::Failure;

/// Bytes of a text at most.
const TEXT_LIMIT: u64 = 512 * 1024;
/// Bytes of an image at most.
const IMAGE_LIMIT: u64 = 10 * 1024 * 1024;

/// What may be shown.
pub(crate) struct Attacher<'a> {
    /// The folders that the agent works in.
    pub(crate) workspace: &'a Workspace,
    /// The rules; what they deny to read is not shown either.
    pub(crate) rules: &'a Rules,
    /// The folder that relative paths start from.
    pub(crate) cwd: &'a Path,
}

impl Attacher<'_> {
    /// The block for a file that was named on the command line, wherever it is.
    ///
    /// # Errors
    /// It cannot be read, is too long or no text or image, or a rule denies to read it.
    pub(crate) fn named(&self, path: &Path) -> Result<Block, Failure> {
        let real = self.real(path)?;
        self.permitted(&real)?;
        block(path, &real)
    }

    /// The block for a file that a prompt mentions; it has to be in the workspace.
    ///
    /// # Errors
    /// As [`named`](Self::named), and where it lies outside of the workspace.
    pub(crate) fn mentioned(&self, path: &Path) -> Result<Block, Failure> {
        let real = self.real(path)?;
        let mut open = self.workspace.writable().chain(self.workspace.readable.iter().map(PathBuf::as_path));
        if !open.any(|folder| real.starts_with(folder)) {
            let message = format!("{} is outside the workspace; add its folder with --add-dir", path.display());
            return Err(Failure::failed(message));
        }
        self.permitted(&real)?;
        block(path, &real)
    }

    /// The input of `text` with every `@path` in it that names a file attached, and what could not be.
    pub(crate) fn input(&self, text: &str) -> (Vec<Block>, Vec<String>) {
        let (mut blocks, mut problems) = (vec![Block::text(text)], Vec::new());
        for mention in mentions(text) {
            let Some(path) = self.existing(&mention) else { continue };
            match self.mentioned(&path) {
                Ok(block) => blocks.push(block),
                Err(e) => problems.push(e.message),
            }
        }
        (blocks, problems)
    }

    /// The file that a mention means; punctuation after it may belong to the sentence.
    fn existing(&self, mention: &str) -> Option<PathBuf> {
        let bare = mention.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'']);
        let candidates = [mention, bare].into_iter().filter(|m| !m.is_empty());
        candidates.map(PathBuf::from).find(|p| self.cwd.join(p).is_file())
    }

    fn real(&self, path: &Path) -> Result<PathBuf, Failure> {
        let full = self.cwd.join(path);
        fs::canonicalize(&full).map_err(|e| Failure::usage(format!("{} cannot be read: {e}", path.display())))
    }

    fn permitted(&self, real: &Path) -> Result<(), Failure> {
        let relative = real.strip_prefix(&self.workspace.root).ok();
        let key = PermissionKey::Path {
            access: Access::Read,
            relative: relative.map(|p| p.to_string_lossy().into_owned()),
            absolute: real.to_string_lossy().into_owned(),
            outside: relative.is_none(),
        };
        match self.rules.strictest("read", Some(&key)) {
            Some(rule) if rule.effect() == RuleEffect::Deny => {
                let (text, source) = (rule.text(), rule.source());
                let message = format!("{} is not shown: the rule `deny: {text}` ({source}) forbids it", real.display());
                Err(Failure::new(crate::exit::Exit::Denied, message))
            }
            _ => Ok(()),
        }
    }
}

fn block(shown: &Path, real: &Path) -> Result<Block, Failure> {
    let fail = |what: String| Failure::usage(format!("{} {what}", shown.display()));
    let meta = fs::metadata(real).map_err(|e| fail(format!("cannot be read: {e}")))?;
    if !meta.is_file() {
        return Err(fail("is no file".to_owned()));
    }
    if meta.len() > IMAGE_LIMIT {
        return Err(fail(format!("has {} bytes, more than can be attached ({IMAGE_LIMIT})", meta.len())));
    }
    let bytes = fs::read(real).map_err(|e| fail(format!("cannot be read: {e}")))?;
    if let Some(media_type) = image_type(&bytes) {
        return Ok(image(shown, media_type, &bytes));
    }
    if meta.len() > TEXT_LIMIT {
        let what =
            format!("has {} bytes, more than a text can have here ({TEXT_LIMIT}); let the agent read it", meta.len());
        return Err(fail(what));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Block::text_file(&shown.display().to_string(), &text)),
        _ => Err(fail("is neither a text (UTF-8) nor an image (PNG, JPEG, GIF, WebP)".to_owned())),
    }
}

fn image(shown: &Path, media_type: &str, bytes: &[u8]) -> Block {
    Block::Media(Media {
        media_type: media_type.to_owned(),
        source: MediaSource::Base64(Arc::from(STANDARD.encode(bytes))),
        name: shown.file_name().map(|n| n.to_string_lossy().into_owned()),
    })
}

pub(crate) fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// What follows each `@` that begins a word; `@"a b"` may hold spaces.
pub(crate) fn mentions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        if text[..at].chars().next_back().is_some_and(|c| !c.is_whitespace() && !"([\"'".contains(c)) {
            continue;
        }
        let rest = &text[at + 1..];
        let name = match rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
            Some((quoted, _)) => quoted,
            None => rest.split(char::is_whitespace).next().unwrap_or_default(),
        };
        if !name.is_empty() && !found.iter().any(|f| f == name) {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use victor::permission::Rule;

    #[test]
    fn finds_mentions_and_no_mail_addresses() {
        let text = "see @src/a.rs, (@b) and @\"c d.txt\" not me@x.example or @ @b";
        assert_eq!(mentions(text), ["src/a.rs,", "b)", "c d.txt", "b"]);
    }

    #[test]
    fn shows_text_and_images_and_keeps_to_workspace_and_rules() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("w");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.md"), "x\n```\ny").unwrap();
        fs::write(root.join(".env"), "KEY=1").unwrap();
        fs::write(root.join("p.png"), b"\x89PNG\r\n\x1a\n").unwrap();
        fs::write(root.join("bin"), b"\x00\xff").unwrap();
        fs::write(root.join("../out.txt"), "out").unwrap();
        std::os::unix::fs::symlink(root.join("../out.txt"), root.join("link")).unwrap();
        let workspace = Workspace::new(&root);
        let rules = Rules::new(vec![Rule::parse(RuleEffect::Deny, "read(**/.env)", "config.yaml").unwrap()]);
        let attacher = Attacher { workspace: &workspace, rules: &rules, cwd: &root };
        let (blocks, problems) = attacher.input("look at @a.md. and @p.png @.env @link @nothing");
        assert_eq!(blocks[1], Block::text("\na.md:\n````\nx\n```\ny\n````"));
        assert!(matches!(&blocks[2], Block::Media(m) if m.media_type == "image/png"), "{blocks:?}");
        assert_eq!((blocks.len(), problems.len()), (3, 2), "{problems:?}");
        assert!(problems[0].contains("deny: read(**/.env)") && problems[1].contains("outside"), "{problems:?}");
        assert!(attacher.named(Path::new("../out.txt")).is_ok());
        assert!(attacher.named(Path::new("bin")).is_err());
    }
}
