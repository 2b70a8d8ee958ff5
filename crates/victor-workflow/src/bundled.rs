//! The workflows that Victor brings along.

use crate::template::Environment;
use crate::yaml::{Document, Known, Mistakes, load};

/// A workflow file that Victor brings along.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    /// The workflow's name.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// All of them, by name.
pub const BUNDLED: [Bundled; 6] = [
    Bundled { name: "approval_gate", text: include_str!("../bundled/approval_gate.yaml") },
    Bundled { name: "bug_investigation", text: include_str!("../bundled/bug_investigation.yaml") },
    Bundled { name: "code_review", text: include_str!("../bundled/code_review.yaml") },
    Bundled { name: "debate", text: include_str!("../bundled/debate.yaml") },
    Bundled { name: "document_pipeline", text: include_str!("../bundled/document_pipeline.yaml") },
    Bundled { name: "feature_with_tests", text: include_str!("../bundled/feature_with_tests.yaml") },
];

impl Bundled {
    /// The file, read.
    ///
    /// # Errors
    /// It has mistakes, which a test keeps from happening.
    pub fn document(&self) -> Result<Document, Mistakes> {
        load(&format!("bundled/{}.yaml", self.name), self.text, &Environment::default(), &Known::default())
    }
}
