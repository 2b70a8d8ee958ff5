use serde_json::json;

use super::*;
use crate::template::Environment;

fn state() -> Value {
    json!({
        "a": {"x": 1, "y": 1}, "b": {"y": 2}, "text": "t",
        "issues": [{"file": "a.rs", "score": 3, "at": {"line": 7}}, {"file": "b.rs", "score": 0.5, "at": {"line": 9}}],
        "lists": [[1], [2, 3]], "empty": [], "mixed": [1, "x"],
    })
}

fn path(text: &str) -> Expr {
    Expr::parse(text).unwrap()
}

fn check(transform: &Transform, expected: Value) {
    assert_eq!(transform.apply(&state()).unwrap(), expected, "{transform:?}");
}

fn fails(transform: &Transform, message: &str) {
    assert_eq!(transform.apply(&state()).unwrap_err().0, message, "{transform:?}");
}

fn aggregate(input: &str, operation: Aggregate, field: Option<&str>) -> Transform {
    Transform::Aggregate { input: path(input), operation, field: field.map(path) }
}

#[test]
fn results_are_merged_by_kind() {
    check(&Transform::Merge(vec![path("a"), path("b")]), json!({"x": 1, "y": 2}));
    check(&Transform::Merge(vec![path("lists"), path("empty")]), json!([[1], [2, 3]]));
    check(&Transform::Merge(vec![path("a"), path("text")]), json!({"a": {"x": 1, "y": 1}, "text": "t"}));
    check(&Transform::Merge(vec![path("lists")]), json!([1, 2, 3]));
    check(&Transform::Merge(vec![path("a")]), json!({"x": 1, "y": 1}));
    fails(&Transform::Merge(vec![path("ax")]), "`ax` is not defined; did you mean `a`?");
}

#[test]
fn fields_are_taken() {
    let extract = |input: &str, field: &str| Transform::Extract { input: path(input), field: path(field) };
    check(&extract("a", "x"), json!(1));
    check(&extract("issues", "at.line"), json!([7, 9]));
    fails(&extract("a", "z"), "`a` has no field `z`: `z` is not defined");
    fails(&extract("text", "z"), "`text` is a text without a field `z`");
    fails(&extract("issues", "fil"), "`issues[0]` has no field `fil`: `fil` is not defined; did you mean `file`?");
}

#[test]
fn lists_are_aggregated() {
    check(&aggregate("issues", Aggregate::Sum, Some("score")), json!(3.5));
    check(&aggregate("issues", Aggregate::Average, Some("score")), json!(1.75));
    check(&aggregate("issues", Aggregate::Max, Some("at.line")), json!(9));
    check(&aggregate("issues", Aggregate::Min, Some("file")), json!("a.rs"));
    check(&aggregate("issues", Aggregate::Count, None), json!(2));
    check(&aggregate("issues", Aggregate::Concat, Some("file")), json!("a.rs\nb.rs"));
    check(&aggregate("empty", Aggregate::Sum, None), json!(0));
    check(&aggregate("mixed", Aggregate::First, None), json!(1));
    fails(&aggregate("empty", Aggregate::Average, None), "`empty` is empty, so there is nothing to take");
    fails(&aggregate("mixed", Aggregate::Sum, None), "`mixed[1]` is a text, not a number");
    fails(&aggregate("mixed", Aggregate::Max, None), "`mixed[1]` is a text, which cannot be compared with a number");
    fails(&aggregate("text", Aggregate::Count, None), "`text` is a text, not a list");
}

#[test]
fn items_are_mapped_and_filtered() {
    let shape =
        Shape::parse(&json!({"n": "{index}", "where": "{item.file}:{item.at.line} {text}"}), &Environment::default());
    let map = |each| Transform::Map { input: path("issues"), each };
    check(&map(Each::Shape(shape.unwrap())), json!([{"n": 0, "where": "a.rs:7 t"}, {"n": 1, "where": "b.rs:9 t"}]));
    check(&map(Each::Field(path("file"))), json!(["a.rs", "b.rs"]));
    let filter = |condition| Transform::Filter { input: path("issues"), condition: path(condition) };
    check(&filter("item.score > 1 and index < 5").clone(), json!([{"file": "a.rs", "score": 3, "at": {"line": 7}}]));
    fails(
        &filter("item.file > 1"),
        "`issues[0]`: condition `item.file > 1`: `item.file` = \"a.rs\" (a text) cannot be compared with 1 (a number)",
    );
}
