use serde_json::json;

use super::*;

fn environment() -> Environment {
    Environment::from_iter([("MODEL", "a-model"), ("TRAP", "{{ secret }} {name}")])
}

fn state() -> Value {
    json!({"name": "Ada", "secret": "no", "findings": {"score": 0.5, "items": ["x", "y"]}, "count": 3, "empty": null, "up-to": 9})
}

fn check(text: &str, expected: &str) {
    let template = Template::parse(text, &environment()).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(template.render(&state()).unwrap_or_else(|e| panic!("{text}: {e}")), expected, "{text}");
}

fn fails(text: &str, message: &str) {
    let found = Template::parse(text, &environment()).and_then(|t| t.render(&state())).expect_err(text);
    assert_eq!(found.to_string(), message, "{text}");
}

#[test]
fn values_are_put_in() {
    check("Hello {name}, {{ name }}, {{findings.items[1]}}, {findings.items[0]}", "Hello Ada, Ada, y, x");
    check("{{ findings }} {count} [{empty}]", r#"{"score":0.5,"items":["x","y"]} 3 []"#);
    check("{up-to} {up_to}", "9 9");
    check("{% for i in findings['items'] %}{{ loop.index }}{{ i | upper }} {name};{% endfor %}", "1X Ada;2Y Ada;");
    check("{% if missing is defined %}a{% else %}b{% endif %}", "b");
    check("{{ findings['items'] | join(', ') }}{# a note #}", "x, y");
    check("{{ findings['items'] | list }} {{ none }}", r#"["x","y"] "#);
}

#[test]
fn braces_of_other_things_stay() {
    check(r#"Answer {"score": 0.8, "a": {}} and $5 or ${ x"#, r#"Answer {"score": 0.8, "a": {}} and $5 or ${ x"#);
    check(r#"{{ "{name}" }} {% raw %}{name}{{ x }}{% endraw %}"#, "{name} {name}{{ x }}");
    check("{{ '}}' }}", "}}");
}

#[test]
fn the_environment_is_put_in_and_never_read_as_a_template() {
    check("${MODEL} ${OTHER:-b} ${TRAP}", "a-model b {{ secret }} {name}");
    check("${TRAP} {{ name | upper }}", "{{ secret }} {name} ADA");
    let template = Template::parse("x ${UNSET}", &environment()).unwrap();
    assert_eq!(template.missing().iter().collect::<Vec<_>>(), ["UNSET"]);
    fails("x ${UNSET}", "environment variable UNSET is not set; set it, or write `${UNSET:-default}`");
}

#[test]
fn names_that_are_not_there_are_errors() {
    fails("Hello {nam}", "`nam` is not defined; did you mean `name`?");
    fails("/users/{zzz}", "`zzz` is not defined; braces that are meant as they stand are written `{{ \"{\" }}`");
    fails("{{ nam | upper }}", "`nam` is not defined; did you mean `name`?");
    fails("{{ findings.scoer }}", "`findings` has no field `scoer`; did you mean `score`?");
}

#[test]
fn bombs_end() {
    fails(
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        "the template takes more than 500000 steps",
    );
    let long = "y".repeat(200);
    fails(
        &format!("{{% set x = '{long}' * 4000 %}}{{% for a in range(9999) %}}{{{{ x }}}}{{% endfor %}}"),
        "the text grows over 16777216 bytes",
    );
    assert!(Template::parse(&"a".repeat(300_000), &environment()).is_err());
}

#[test]
fn what_is_no_template_says_why() {
    fails("{{ name", "`{{` without its `}}`");
    fails("{% for x %}", "syntax error: unexpected end of block, expected in");
    fails("{{ name | uper }}", "unknown filter: filter uper is unknown");
}

#[test]
fn one_path_keeps_its_kind() {
    let shape =
        Shape::parse(&json!({"a": "{{ findings }}", "b": ["{count}", 4], "c": "n = {count}"}), &environment()).unwrap();
    assert_eq!(
        shape.value(&state()).unwrap(),
        json!({"a": {"score": 0.5, "items": ["x", "y"]}, "b": [3, 4], "c": "n = 3"})
    );
    assert_eq!(shape.variables().into_iter().collect::<Vec<_>>(), ["count", "findings"]);
}
