//! Schemas that servers give for their tools: what a model can be shown, and what harms nobody.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::content::cut;

/// Bytes of a schema at most.
const LONGEST: usize = 64 << 10;
/// Levels of a schema at most.
const DEEPEST: usize = 32;
/// Parts that a schema may mean, counted as often as it refers to them.
const PARTS: u64 = 100_000;
/// References that may follow each other.
const HOPS: usize = 64;
/// Bytes of a result times parts of its schema at most: a validator may look at each byte for each part.
const WORK: u64 = 200_000_000;

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

/// What a tool gives, as its server says.
#[derive(Clone)]
pub(super) struct Output {
    validator: jsonschema::Validator,
    parts: u64,
}

impl Output {
    /// Holds a result against the schema.
    ///
    /// # Errors
    /// It does not fit, or finding that out would take too long.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let size = value.to_string().len() as u64;
        if self.parts.saturating_mul(size) > WORK {
            return Err(format!("{size} bytes are too many for a schema of {} parts", self.parts));
        }
        self.validator.validate(value).map_err(|e| cut(&e.to_string(), 1_000))
    }
}

/// The validator of what a tool gives; none where the schema means itself, as a result could be as deep as it likes.
///
/// # Errors
/// As [`parameters`].
pub(super) fn output(schema: &Map<String, Value>) -> Result<Option<Output>, String> {
    let schema = Value::Object(schema.clone());
    let (shape, parts) = check(&schema)?;
    if shape == Shape::Recursive {
        return Ok(None);
    }
    let validator = jsonschema::validator_for(&schema);
    let validator = validator.map_err(|e| format!("its output schema is no JSON schema: {e}"))?;
    Ok(Some(Output { validator, parts }))
}

/// Whether a schema means itself somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    Recursive,
}

/// Its shape, and how many parts it means.
fn check(schema: &Value) -> Result<(Shape, u64), String> {
    let size = serde_json::to_vec(schema).map_or(usize::MAX, |bytes| bytes.len());
    if size > LONGEST {
        return Err(format!("its schema has {size} bytes; {LONGEST} are the most"));
    }
    let mut references = References {
        root: schema,
        oldest: schema.get("$schema").and_then(Value::as_str).is_some_and(is_oldest),
        anchors: BTreeMap::new(),
        known: HashMap::new(),
        shape: Shape::Plain,
    };
    references.walk(schema, 0)?;
    let weight = references.weigh(schema, 0)?;
    Ok((references.shape, weight.parts))
}

/// What the references of a schema lead to. They may only go to the schema itself: nothing is fetched from elsewhere.
struct References<'a> {
    root: &'a Value,
    /// Whether it is of the draft 4.
    oldest: bool,
    anchors: BTreeMap<&'a str, &'a Value>,
    /// The weight of what was referred to; none while that is found out.
    known: HashMap<&'a str, Option<Weight>>,
    shape: Shape,
}

/// How many parts a schema means, with what it refers to, and over how many references that goes.
#[derive(Clone, Copy, Default)]
struct Weight {
    parts: u64,
    hops: usize,
}

impl<'a> References<'a> {
    fn walk(&mut self, value: &'a Value, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("its schema has more than {DEEPEST} levels"));
        }
        match value {
            Value::Object(map) => {
                if let Some(target) = targets(map).find(|target| !target.starts_with('#')) {
                    return Err(format!("its schema refers to `{target}`, which is not fetched"));
                }
                let said = |key: &str| map.get(key).and_then(Value::as_str);
                let own = said("$id").is_some()
                    || said("$schema").is_some_and(is_oldest)
                    || (self.oldest && said("id").is_some());
                if depth > 0 && own {
                    return Err("its schema has documents of its own inside".to_owned());
                }
                for key in ["$anchor", "$dynamicAnchor"] {
                    if let Some(Value::String(name)) = map.get(key)
                        && self.anchors.insert(name, value).is_some()
                    {
                        // Which one a reference means would be anybody's guess.
                        return Err(format!("its schema has the anchor `{name}` twice"));
                    }
                }
                map.values().try_for_each(|v| self.walk(v, depth + 1))
            }
            Value::Array(items) => items.iter().try_for_each(|v| self.walk(v, depth + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    /// What a value means in all. Validators do that much work for one argument, and go as deep.
    fn weigh(&mut self, value: &'a Value, hops: usize) -> Result<Weight, String> {
        if hops > HOPS {
            return Err(format!("its schema refers on and on, over more than {HOPS} references"));
        }
        let mut weight = Weight { parts: 1, hops: 0 };
        let mut add = |part: Weight| {
            weight.parts = weight.parts.saturating_add(part.parts);
            weight.hops = weight.hops.max(part.hops);
        };
        match value {
            Value::Object(map) => {
                for target in targets(map) {
                    let found = self.follow(target, hops)?;
                    add(Weight { hops: found.hops + 1, ..found });
                }
                for inner in map.values() {
                    add(self.weigh(inner, hops)?);
                }
            }
            Value::Array(items) => {
                for inner in items {
                    add(self.weigh(inner, hops)?);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        match weight {
            Weight { parts, .. } if parts > PARTS => {
                Err("its schema means too many parts by its references".to_owned())
            }
            Weight { hops, .. } if hops > HOPS => {
                Err(format!("its schema refers on and on, over more than {HOPS} references"))
            }
            weight => Ok(weight),
        }
    }

    fn follow(&mut self, target: &'a str, hops: usize) -> Result<Weight, String> {
        match self.known.get(target) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => {
                self.shape = Shape::Recursive;
                return Ok(Weight::default());
            }
            None => {}
        }
        let found = self.find(target).ok_or_else(|| format!("its schema refers to `{target}`, which is not there"))?;
        self.known.insert(target, None);
        let weight = self.weigh(found, hops + 1)?;
        self.known.insert(target, Some(weight));
        Ok(weight)
    }

    fn find(&self, target: &str) -> Option<&'a Value> {
        let place = percent_decode(target.strip_prefix('#')?)?;
        match place.as_str() {
            "" => Some(self.root),
            pointer if pointer.starts_with('/') => self.root.pointer(pointer),
            anchor => self.anchors.get(anchor).copied(),
        }
    }
}

/// Whether a schema is of the draft 4, in which documents have an `id` and not an `$id`.
fn is_oldest(draft: &str) -> bool {
    draft.contains("draft-04")
}

fn targets(map: &Map<String, Value>) -> impl Iterator<Item = &str> {
    ["$ref", "$dynamicRef", "$recursiveRef"].into_iter().filter_map(|key| map.get(key)?.as_str())
}

/// A fragment as text.
fn percent_decode(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match byte {
            b'%' => bytes.push(u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
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

    fn chain(links: usize, link: impl Fn(String) -> Value) -> Value {
        let to = |n: usize| format!("#/$defs/d{n}");
        let mut defs: Map<String, Value> = (0..links).map(|n| (format!("d{n}"), link(to(n + 1)))).collect();
        defs.insert(format!("d{links}"), json!({"required": ["x"]}));
        json!({"type": "object", "$defs": defs, "allOf": [{"$ref": to(0)}]})
    }

    #[test]
    fn references_that_multiply_or_lead_on_and_on_are_refused() {
        // Each part means the next one twice: a million million in a few lines.
        let twice = |to: String| json!({"allOf": [{"$ref": to}, {"$ref": to}]});
        assert!(judged(chain(40, twice)).unwrap_err().contains("too many parts"));
        let once = |to: String| json!({"$ref": to});
        assert!(judged(chain(1_200, once)).unwrap_err().contains("on and on"));
        assert!(judged(chain(10, once)).is_ok() && judged(chain(5, twice)).is_ok());
        let anchored = json!({"type": "object", "$defs": {"a": {"$anchor": "x", "type": "string"}},
            "properties": {"p": {"$ref": "#x"}}});
        assert!(judged(anchored).is_ok());
        for lost in ["#/$defs/none", "#none"] {
            let schema = json!({"type": "object", "properties": {"p": {"$ref": lost}}});
            assert!(judged(schema).unwrap_err().contains("not there"), "{lost}");
        }
        let nested = json!({"type": "object", "properties": {"p": {"$id": "http://a/b", "$ref": "#"}}});
        assert!(judged(nested).unwrap_err().contains("documents of its own"));
        let named = json!({"type": "object", "properties": {"$id": {"type": "string"}}});
        assert!(judged(named).is_ok(), "a property of that name");
    }

    #[test]
    fn a_result_is_not_held_against_a_schema_without_end() {
        let older = json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "type": "object",
            "allOf": [{"properties": {"a": {"$recursiveRef": "#"}}}, {"properties": {"a": {"$recursiveRef": "#"}}}]});
        assert!(output(older.as_object().unwrap()).unwrap().is_none());
        let tree = json!({"type": "object", "allOf": [{"properties": {"a": {"$ref": "#"}}},
            {"properties": {"a": {"$ref": "#"}}}]});
        assert!(output(tree.as_object().unwrap()).unwrap().is_none());
        assert!(output(json!({"type": "object"}).as_object().unwrap()).unwrap().is_some());
    }
}
