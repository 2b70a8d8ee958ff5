//! minijinja, set up once: strict, with fuel, without anything that reads files or loops for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{ErrorKind, UndefinedBehavior, Value};

use super::{MAX_RENDERED, TemplateError, undefined};
use crate::expr::Scope;

/// Steps that a template may take.
const FUEL: u64 = 500_000;

/// The names of the state that a source reads.
pub(super) fn variables(source: &str) -> Result<BTreeSet<String>, TemplateError> {
    let template = engine().template_from_str(source).map_err(|e| TemplateError(described(&e)))?;
    let mut names: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
    for (name, _) in engine().globals() {
        names.remove(name);
    }
    names.remove("_env");
    Ok(names)
}

/// Fills a source in.
pub(super) fn render(
    source: &str,
    environment: &[String],
    variables: &BTreeSet<String>,
    scope: &dyn Scope,
) -> Result<String, TemplateError> {
    let mut context = BTreeMap::from([("_env", Value::from(environment.to_vec()))]);
    for name in variables {
        if let Some(value) = scope.get(name) {
            context.insert(name, Value::from(Serde(&*value)));
        }
    }
    let template = engine().template_from_str(source).map_err(|e| TemplateError(described(&e)))?;
    let mut out = Bounded(Vec::new());
    let rendered = template.render_captured_to(Value::from_pairs(context), &mut out).map(drop);
    match rendered {
        Ok(()) => String::from_utf8(out.0).map_err(|e| TemplateError(e.to_string())),
        Err(e) if e.kind() == ErrorKind::UndefinedError => {
            let unknown = variables.iter().find(|name| scope.get(name).is_none());
            Err(unknown.map_or_else(|| TemplateError(described(&e)), |name| undefined(name, scope)))
        }
        Err(e) => Err(TemplateError(described(&e))),
    }
}

fn engine() -> &'static minijinja::Environment<'static> {
    static ENGINE: OnceLock<minijinja::Environment<'static>> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut engine = minijinja::Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_fuel(Some(FUEL));
        engine.set_recursion_limit(64);
        engine.set_debug(false);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            engine.set_syntax(syntax);
        }
        engine.remove_global("debug");
        engine.set_formatter(|out, state, value| {
            use minijinja::value::ValueKind;
            let text = match value.kind() {
                ValueKind::None => String::new(),
                ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => serde_json::to_string(value)
                    .map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string()))?,
                _ => return minijinja::escape_formatter(out, state, value),
            };
            out.write_str(&text).map_err(minijinja::Error::from)
        });
        engine
    })
}

fn described(error: &minijinja::Error) -> String {
    let line = error.line().filter(|l| *l > 1).map_or(String::new(), |l| format!(" (line {l} of the text)"));
    match error.kind() {
        ErrorKind::OutOfFuel => format!("the template takes more than {FUEL} steps"),
        ErrorKind::WriteFailure => format!("the text grows over {MAX_RENDERED} bytes"),
        kind => error.detail().map_or_else(|| format!("{kind}{line}"), |detail| format!("{kind}: {detail}{line}")),
    }
}

/// What is written, up to the limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_RENDERED {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
