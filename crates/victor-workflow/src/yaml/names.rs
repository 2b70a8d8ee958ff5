//! What names may look like.

use super::place::{At, Findings};
use super::variables::BUILT_IN;

/// The target that ends a path, where a node's id could stand.
pub(crate) const END: &str = "end";

/// Checks the id of a node.
pub(crate) fn check_id(id: &At<String>, findings: &mut Findings) {
    if !is_name(id) {
        findings.mistake(
            id.place,
            format!("`{}` is no name: letters, digits, `-` and `_` make one, a letter first", id.value),
        );
    } else if id.as_str() == END {
        findings.mistake(id.place, "`end` ends a path, so no node can be called so");
    }
}

/// Checks the name of a piece of state.
pub(crate) fn check_state(name: &At<String>, findings: &mut Findings) {
    if !is_name(name) {
        findings.mistake(
            name.place,
            format!("`{}` is no name: letters, digits, `-` and `_` make one, a letter first", name.value),
        );
    } else if BUILT_IN.iter().any(|b| crate::expr::same_name(b, name)) {
        findings.mistake(name.place, format!("`{}` is built in, so nothing else can be called so", name.value));
    }
}

/// Letters, digits, `-` and `_`, a letter or `_` first.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}
