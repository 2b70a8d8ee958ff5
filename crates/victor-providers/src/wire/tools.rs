//! The tools of a request as JSON text, written once: they are the largest part of a short request and seldom change.

use std::sync::{Arc, Mutex, PoisonError};

use victor_core::request::Request;
use victor_core::tool::ToolSpec;

use super::Dialect;
use crate::settings::Wire;

/// The tools that one provider was sent last.
#[derive(Default)]
pub(crate) struct LastTools {
    last: Mutex<Option<Written>>,
}

type Written = (Vec<Arc<ToolSpec>>, Arc<str>);

impl LastTools {
    /// The request's body as text. It says the same as [`Wire::body`].
    pub(crate) fn body(&self, wire: Wire, request: &Request, dialect: &Dialect) -> String {
        let mut text = wire.without_tools(request, dialect).to_string();
        if !request.tools.is_empty() {
            // A body is never an empty object: it names the model at least.
            text.pop();
            text.push_str(",\"tools\":");
            text.push_str(&self.text(wire, request, dialect));
            text.push('}');
        }
        text
    }

    fn text(&self, wire: Wire, request: &Request, dialect: &Dialect) -> Arc<str> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((specs, text)) = &*last
            && specs.len() == request.tools.len()
            && specs.iter().zip(request.tools.iter()).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return Arc::clone(text);
        }
        let text: Arc<str> = wire.tools(request, dialect).to_string().into();
        *last = Some((request.tools.to_vec(), Arc::clone(&text)));
        text
    }
}

impl Wire {
    /// The request's body.
    #[cfg(test)]
    pub(crate) fn body(self, request: &Request, dialect: &Dialect) -> serde_json::Value {
        let text = LastTools::default().body(self, request, dialect);
        serde_json::from_str(&text).unwrap_or_default()
    }
}
