//! Schemas that servers give for their tools: what a model can be shown, and what harms nobody.

use serde_json::{Map, Value};

/// Bytes of a schema at most.
const LONGEST: usize = 64 << 10;
/// Levels of a schema at most.
const DEEPEST: usize = 32;

/// A tool's parameters as the model is shown them.
///
/// # Errors
/// They are no schema of an object, too large, too deep, or speak of another document.
pub(super) fn parameters(schema: &Map<String, Value>) -> Result<Value, String> {
    let mut schema = Value::Object(schema.clone());
    check(&schema)?;
    match schema.get("type") {
        None => schema["type"] = Value::from("object"),
        Some(Value::String(kind)) if kind == "object" => {}
        Some(other) => return Err(format!("its parameters are no object but {other}")),
    }
    if schema.get("properties").is_none() {
        schema["properties"] = Value::Object(Map::new());
    }
    jsonschema::validator_for(&schema).map_err(|e| format!("its parameters are no JSON schema: {e}"))?;
    Ok(schema)
}

/// The validator of what a tool gives.
///
/// # Errors
/// As [`parameters`].
pub(super) fn output(schema: &Map<String, Value>) -> Result<jsonschema::Validator, String> {
    let schema = Value::Object(schema.clone());
    check(&schema)?;
    jsonschema::validator_for(&schema).map_err(|e| format!("its output schema is no JSON schema: {e}"))
}

fn check(schema: &Value) -> Result<(), String> {
    let size = serde_json::to_vec(schema).map_or(usize::MAX, |bytes| bytes.len());
    if size > LONGEST {
        return Err(format!("its schema has {size} bytes; {LONGEST} are the most"));
    }
    walk(schema, 0)
}

/// References may only go to the schema itself: nothing is fetched from elsewhere.
fn walk(value: &Value, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("its schema has more than {DEEPEST} levels"));
    }
    match value {
        Value::Object(map) => {
            for key in ["$ref", "$dynamicRef"] {
                if let Some(Value::String(target)) = map.get(key)
                    && !target.starts_with('#')
                {
                    return Err(format!("its schema refers to `{target}`, which is not fetched"));
                }
            }
            map.values().try_for_each(|v| walk(v, depth + 1))
        }
        Value::Array(items) => items.iter().try_for_each(|v| walk(v, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(schema: Value) -> Result<Value, String> {
        parameters(schema.as_object().unwrap())
    }

    #[test]
    fn schemas_that_harm_are_refused_and_recursive_ones_are_none_of_them() {
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({"items": deep});
        }
        for (schema, word) in [
            (json!({"type": "string"}), "no object"),
            (json!({"type": "object", "properties": {"a": {"type": "nonsense"}}}), "no JSON schema"),
            (json!({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x.json"}}}), "not fetched"),
            (json!({"type": "object", "description": "x".repeat(70_000)}), "bytes"),
            (json!({"type": "object", "properties": {"a": deep}}), "levels"),
        ] {
            assert!(judged(schema).unwrap_err().contains(word));
        }
        let tree = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert_eq!(judged(tree.clone()), Ok(tree));
        assert_eq!(judged(json!({})), Ok(json!({"type": "object", "properties": {}})));
    }

    #[test]
    fn probe_self() {
        let s = judged(json!({"type": "object", "allOf": [{"$ref": "#"}]})).unwrap();
        let v = jsonschema::validator_for(&s).unwrap();
        eprintln!("self {} {}", v.is_valid(&json!({})), v.iter_errors(&json!({})).count());
    }

    fn doubling(last: Value) {
        let mut defs = Map::new();
        for n in 0..24 {
            let next = format!("#/$defs/d{}", n + 1);
            defs.insert(format!("d{n}"), json!({"allOf": [{"$ref": next}, {"$ref": next}]}));
        }
        defs.insert("d24".to_owned(), last.clone());
        let begun = std::time::Instant::now();
        let s = judged(json!({"type": "object", "$defs": defs, "allOf": [{"$ref": "#/$defs/d0"}]})).unwrap();
        eprintln!("{last} compiled {:?}", begun.elapsed());
        let v = jsonschema::validator_for(&s).unwrap();
        eprintln!("{} {:?}", v.is_valid(&json!({})), begun.elapsed());
        eprintln!("one {} {:?}", v.validate(&json!({})).is_ok(), begun.elapsed());
        eprintln!("{} {:?}", v.iter_errors(&json!({})).take(1).count(), begun.elapsed());
    }

    #[test]
    fn probe_doubling() {
        doubling(json!({}));
        doubling(json!({"required": ["x"]}));
    }

    #[test]
    fn probe_pattern() {
        let s = judged(json!({"type": "object", "properties": {"a": {"pattern": "^(a+)+$(?=b)"}}})).unwrap();
        let v = jsonschema::validator_for(&s).unwrap();
        let begun = std::time::Instant::now();
        eprintln!("{} {:?}", v.is_valid(&json!({"a": "a".repeat(40) + "!"})), begun.elapsed());
    }
}
