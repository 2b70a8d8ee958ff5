use serde_json::json;

use super::*;

fn state() -> Value {
    json!({
        "score": 0.9, "text_score": "0.1", "status": "ready", "flag": false, "word": "false", "tags": ["a", "b"],
        "findings": {"score": 0.5, "items": [{"file": "x.rs"}], "top-level": 1}, "count": 3, "nothing": null,
    })
}

fn check(text: &str, expected: Value) {
    let expr = Expr::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(expr.value(&state()).unwrap_or_else(|e| panic!("{text}: {e}")), expected, "{text}");
}

fn fails(text: &str, message: &str) {
    let found = match Expr::parse(text) {
        Ok(expr) => expr.is_true(&state()).expect_err(text).to_string(),
        Err(e) => e.to_string(),
    };
    assert_eq!(found, message, "{text}");
}

#[test]
fn conditions_of_the_usual_form_are_answered() {
    for text in [
        "score > 0.8 and status == 'ready'",
        "{{ score > 0.8 }}",
        "findings.score <= 0.5",
        "not flag",
        "not (flag or score < 0.5)",
        "'a' in tags and 'c' not in tags",
        "status in ['ready', \"done\"]",
        "'ead' in status",
        "findings.items[0].file == 'x.rs'",
        "findings.items[-1]['file'] == 'x.rs'",
        "findings.top_level == 1",
        "count == 3.0",
        "count * 2 - 1 == 5 and -count == -3 and 7 % 2 == 1 and 1 / 4 == 0.25",
        "len(tags) == 2 and len(status) == 5",
        "nothing == null and status != null",
        "defined(score) and not defined(absent.field) and not defined(nothing)",
        "flag or true",
        "1e3 == 1000",
    ] {
        check(text, json!(true));
    }
}

#[test]
fn the_right_side_is_only_looked_at_when_it_counts() {
    check("defined(absent) and absent > 3", json!(false));
    check("true or absent", json!(true));
}

#[test]
fn wrong_kinds_are_errors_that_name_the_values() {
    fails(
        "text_score > 0.8",
        "`text_score` = \"0.1\" (a text) cannot be compared with 0.8 (a number); the text is not taken for a number",
    );
    fails("word", "`word` = \"false\" (a text) is not a boolean");
    fails("word and true", "`word` = \"false\" (a text) is not a boolean");
    fails("not count", "`count` = 3 (a number) is not a boolean");
    fails("count", "`count` = 3 (a number) is not a boolean");
    fails("'ready'", "\"ready\" (a text) is not a boolean");
    fails("flag == 'false'", "`flag` = false (a boolean) cannot be compared with \"false\" (a text)");
    fails("flag == 0", "`flag` = false (a boolean) cannot be compared with 0 (a number)");
    fails("tags > 1", "`tags` = [\"a\",\"b\"] (a list) cannot be compared with 1 (a number)");
    fails("1 in tags", "1 (a number) cannot be compared with `tags` = \"a\" (a text)");
    fails("nothing < 1", "`nothing` = null (null) cannot be compared with 1 (a number)");
    fails("status + 1 == 2", "only numbers can be calculated with, not \"ready\" and 1");
    fails("count / 0 == 1", "3 and 0 give no number (a division by zero?)");
}

#[test]
fn names_that_are_not_there_are_errors() {
    fails("scor > 0.8", "`scor` is not defined; did you mean `score`?");
    fails("findings.scores > 1", "`findings` has no field `scores`; did you mean `score`?");
    fails("findings.items[4].file == 'x'", "`findings.items` has 1 items, and no [4]");
    fails("status.length > 1", "`status` = \"ready\" (a text) has no field `length`");
}

#[test]
fn what_is_no_expression_says_where() {
    fails("score > ", "something is missing at the end");
    fails("score = 1", "`=` compares nothing; write `==`");
    fails("score > 1 && flag", "`&&` is written `and`");
    fails("!flag", "`!` is written `not`");
    fails("(score > 1", "`)` is missing");
    fails("score > 1)", "nothing was opened that this would close");
    fails("1 < score < 2", "comparisons are not chained; write `a < b and b < c`");
    fails("status == 'ready", "the text that starts here lacks its closing '");
    fails("score score", "an operator is expected here, such as `and` or `==`");
    fails("system('ls')", "there is no function `system`; `len` and `defined` exist");
    fails("tags | length > 1", "conditions have no filters; use a transform before it");
    fails("", "the expression is empty");
    assert_eq!(Expr::parse("score > 1 && flag").unwrap_err().at, 10);
}

#[test]
fn bombs_are_refused_before_they_burn_anything() {
    for (open, close) in [("(", ")"), ("[", "]"), ("not ", ""), ("-", "")] {
        let text = format!("{}1{}", open.repeat(300), close.repeat(100));
        let error = Expr::parse(&text).unwrap_err().message;
        assert!(error.contains("stand in each other"), "{error}");
    }
    let long = vec!["long_score"; 900].join(" + ");
    assert!(Expr::parse(&long).unwrap_err().message.contains("4096 are allowed"));
    let path = format!("a{}", ".b".repeat(200));
    assert!(Expr::parse(&path).unwrap_err().message.contains("more than 64 parts"));
    let wide = |n: usize| vec!["1"; n].join("+");
    check(&format!("{} == 250", wide(250)), json!(true));
    assert!(Expr::parse(&wide(1_000)).unwrap_err().message.contains("more than 512 parts"));
}

#[test]
fn variables_and_kind_are_known_without_running() {
    let expr = Expr::parse("a.b > c[d] and not defined(e) and len(f) in [g]").unwrap();
    assert_eq!(expr.variables().into_iter().collect::<Vec<_>>(), ["a", "c", "d", "f", "g"]);
    assert_eq!(expr.kind(), Some(Kind::Boolean));
    assert_eq!(Expr::parse("'ready'").unwrap().kind(), Some(Kind::Text));
    assert_eq!(Expr::parse("status").unwrap().kind(), None);
}
