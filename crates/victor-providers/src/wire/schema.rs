//! JSON Schemas as a server takes them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Which part of JSON Schema a server reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Style {
    /// All of it.
    #[default]
    Full,
    /// The subset of OpenAPI 3.0: no references, no `const`, no `additionalProperties`.
    Openapi,
}

/// How deep references are followed; what lies deeper is any object.
const MAX_DEPTH: usize = 12;

/// The parameters of a tool: always an object with `properties`.
pub(crate) fn parameters(schema: &Value, style: Style) -> Value {
    let mut out = match style {
        Style::Full => schema.clone(),
        Style::Openapi => openapi(schema, schema, 0),
    };
    if !out.is_object() {
        out = json!({});
    }
    if let Some(map) = out.as_object_mut() {
        map.shift_remove("$schema");
        map.entry("type").or_insert_with(|| json!("object"));
        map.entry("properties").or_insert_with(|| json!({}));
    }
    out
}

/// The schema with every object closed; and whether every property of every object is required, which is what
/// OpenAI's strict mode asks for.
pub(crate) fn closed(schema: &Value) -> (Value, bool) {
    let mut strict = true;
    let mut out = close(schema, &mut strict);
    if let Some(map) = out.as_object_mut() {
        map.shift_remove("$schema");
    }
    (out, strict)
}

/// A closed schema without the limits that Anthropic's structured outputs refuse; the answer is checked against the
/// full schema afterwards anyway.
pub(crate) fn closed_without_limits(schema: &Value) -> Value {
    let mut out = closed(schema).0;
    visit(&mut out, &mut |map| {
        for key in [
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "maxItems",
            "uniqueItems",
        ] {
            if map.get(key).is_some_and(|v| !v.is_object()) {
                map.shift_remove(key);
            }
        }
        if map.get("minItems").and_then(Value::as_u64).is_some_and(|n| n > 1) {
            map.insert("minItems".into(), json!(1));
        }
    });
    out
}

fn close(schema: &Value, strict: &mut bool) -> Value {
    let mut out = schema.clone();
    visit(&mut out, &mut |map| {
        let Some(properties) = map.get("properties").and_then(Value::as_object) else {
            if map.get("type") == Some(&json!("object")) {
                *strict = false;
            }
            return;
        };
        let names: Vec<&String> = properties.keys().collect();
        let required = map.get("required").and_then(Value::as_array);
        let all = names.iter().all(|n| required.is_some_and(|r| r.iter().any(|v| v.as_str() == Some(n.as_str()))));
        *strict &= all && map.get("additionalProperties").is_none_or(|v| v == false);
        map.entry("additionalProperties").or_insert(json!(false));
    });
    out
}

/// Calls `f` for every schema object in `schema`, not for maps of names to schemas.
fn visit(schema: &mut Value, f: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Some(map) = schema.as_object_mut() else { return };
    f(map);
    for (key, value) in map.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs" | "definitions" | "patternProperties", Value::Object(named)) => {
                named.values_mut().for_each(|v| visit(v, f));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(items)) => {
                items.iter_mut().for_each(|v| visit(v, f));
            }
            ("items" | "additionalProperties" | "not", v @ Value::Object(_)) => visit(v, f),
            _ => {}
        }
    }
}

fn openapi(schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(map) = schema.as_object() else { return json!({}) };
    if depth > MAX_DEPTH {
        return json!({"type": "object"});
    }
    if let Some(target) = map.get("$ref").and_then(Value::as_str) {
        let found = target.strip_prefix('#').and_then(|p| root.pointer(p)).unwrap_or(&Value::Null);
        return openapi(found, root, depth + 1);
    }
    let mut out = Map::new();
    for (key, value) in map {
        let each = |items: &[Value]| items.iter().map(|v| openapi(v, root, depth + 1)).collect::<Value>();
        match (key.as_str(), value) {
            ("type", Value::Array(types)) => nullable_type(types, &mut out),
            (
                "type" | "description" | "enum" | "required" | "minItems" | "maxItems" | "minimum" | "maximum"
                | "nullable",
                _,
            ) => {
                out.insert(key.clone(), value.clone());
            }
            ("const", _) => {
                out.insert("enum".into(), json!([value]));
            }
            ("properties", Value::Object(named)) => {
                let named = named.iter().map(|(k, v)| (k.clone(), openapi(v, root, depth + 1)));
                out.insert(key.clone(), Value::Object(named.collect()));
            }
            ("items", _) => {
                out.insert(key.clone(), openapi(value, root, depth + 1));
            }
            ("anyOf" | "oneOf", Value::Array(items)) => {
                out.insert("anyOf".into(), each(items));
            }
            ("allOf", Value::Array(items)) if items.len() == 1 => {
                if let Value::Object(only) = openapi(&items[0], root, depth + 1) {
                    out.extend(only);
                }
            }
            _ => {}
        }
    }
    Value::Object(out)
}

fn nullable_type(types: &[Value], out: &mut Map<String, Value>) {
    let real: Vec<&Value> = types.iter().filter(|t| *t != "null").collect();
    if real.len() < types.len() {
        out.insert("nullable".into(), json!(true));
    }
    match real.as_slice() {
        [one] => out.insert("type".into(), (*one).clone()),
        many => out.insert("anyOf".into(), many.iter().map(|t| json!({"type": t})).collect()),
    };
}
