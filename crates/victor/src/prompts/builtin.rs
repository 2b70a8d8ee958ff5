//! The prompts that Victor brings along.

use std::path::Path;

use super::template::Template;

/// The files, in the form of the user's own.
const FILES: [(&str, &str); 8] = [
    ("commit.md", include_str!("builtin/commit.md")),
    ("document.md", include_str!("builtin/document.md")),
    ("explain.md", include_str!("builtin/explain.md")),
    ("fix.md", include_str!("builtin/fix.md")),
    ("plan.md", include_str!("builtin/plan.md")),
    ("refactor.md", include_str!("builtin/refactor.md")),
    ("review.md", include_str!("builtin/review.md")),
    ("test.md", include_str!("builtin/test.md")),
];

pub(super) fn templates() -> impl Iterator<Item = Template> {
    // A test reads them all: none is left out.
    FILES.iter().filter_map(|(name, text)| Template::parse(Path::new(name), text.as_bytes().to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_can_be_read_and_says_what_it_is_for() {
        for (name, text) in FILES {
            let template = Template::parse(Path::new(name), text.as_bytes().to_vec()).unwrap();
            assert!(template.description.is_some() && template.title.is_some(), "{name}");
            assert!(template.arguments.iter().all(|a| a.description.is_some()), "{name}");
        }
    }
}
