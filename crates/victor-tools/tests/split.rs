//! Shell lines and the commands that rules get to see of them.

use rstest::rstest;
use victor_tools::split_command;

/// Lines that are split for certain, into exactly these commands.
#[rstest]
#[case("ls", &["ls"])]
#[case("ls   -la", &["ls -la"])]
#[case("ls -la # all of them", &["ls -la"])]
#[case("cargo test && cargo clippy", &["cargo test", "cargo clippy"])]
#[case("a || b", &["a", "b"])]
#[case("a; b", &["a", "b"])]
#[case("a &", &["a"])]
#[case("a & b", &["a", "b"])]
#[case("a\nb", &["a", "b"])]
#[case("a | b | c", &["a", "b", "c"])]
#[case("a |& b", &["a", "b"])]
#[case("! a", &["a"])]
#[case("(a; b)", &["a", "b"])]
#[case("{ a; b; }", &["a", "b"])]
#[case("echo $(rm x)", &["echo $(rm x)", "rm x"])]
#[case("echo `rm x`", &["echo `rm x`", "rm x"])]
#[case("echo \"a $(rm x) b\"", &["echo \"a $(rm x) b\"", "rm x"])]
#[case("echo \"$(cat $(rm x))\"", &["echo \"$(cat $(rm x))\"", "cat $(rm x)", "rm x"])]
#[case("x=$(rm y)", &["x=$(rm y)", "rm y"])]
#[case("if a; then b; else c; fi", &["a", "b", "c"])]
#[case("if a; then b; elif c; then d; fi", &["a", "b", "c", "d"])]
#[case("for f in *.rs; do rm $f; done", &["rm $f"])]
#[case("for f in $(ls); do rm $f; done", &["ls", "rm $f"])]
#[case("for ((i=0; i<3; i++)); do a; done", &["a"])]
#[case("while read l; do rm $l; done", &["read l", "rm $l"])]
#[case("until a; do b; done", &["a", "b"])]
#[case("case x in a) rm a;; *) rm b;; esac", &["rm a", "rm b"])]
#[case("[[ -f x ]] && rm x", &["rm x"])]
#[case("[ -f x ] && rm x", &["rm x"])]
#[case("echo $((1+2))", &["echo $((1+2))"])]
#[case("echo ${x:-$(rm y)}", &["echo ${x:-$(rm y)}", "rm y"])]
#[case("RUST_LOG=debug cargo test", &["cargo test"])]
#[case("RUST_LOG=debug LC_ALL=C cargo test", &["cargo test"])]
#[case("FOO=1 rm x", &["FOO=1 rm x", "rm x"])]
#[case("LD_PRELOAD=./evil.so ls", &["LD_PRELOAD=./evil.so ls", "ls"])]
#[case("RUST_LOG=$(rm x) ls", &["RUST_LOG=$(rm x) ls", "ls", "rm x"])]
#[case("PATH=/evil; ls", &["PATH=/evil", "ls"])]
#[case("export PATH=/evil", &["export PATH=/evil"])]
#[case("cat a > b", &["cat a > b"])]
#[case("cat a 2>&1", &["cat a 2>&1"])]
#[case("cat <<EOF\nhello\nEOF\n", &["cat <<EOF\nhello\nEOF"])]
#[case("cat <<EOF\n$(rm x)\nEOF\n", &["cat <<EOF\n$(rm x)\nEOF", "rm x"])]
#[case("cat > f <<'EOF'\n`a` and $(b) and \"\nEOF\n", &["cat > f <<'EOF'\n`a` and $(b) and \"\nEOF"])]
#[case("echo 'a `b` $(c)' \"\\`d\\` \\$(e)\" # `f`", &["echo 'a `b` $(c)' \"\\`d\\` \\$(e)\""])]
#[case("cat <<< hello", &["cat <<< hello"])]
#[case("sudo rm -rf x", &["sudo rm -rf x", "rm -rf x"])]
#[case("sudo -u root -- rm x", &["sudo -u root -- rm x", "rm x"])]
#[case("sudo -n FOO=1 rm x", &["sudo -n FOO=1 rm x", "rm x"])]
#[case("env -i FOO=1 rm x", &["env -i FOO=1 rm x", "rm x"])]
#[case("env", &["env"])]
#[case("xargs -0 -n 1 rm -f", &["xargs -0 -n 1 rm -f", "rm -f"])]
#[case("timeout -k 5 10 rm x", &["timeout -k 5 10 rm x", "rm x"])]
#[case("nohup rm x", &["nohup rm x", "rm x"])]
#[case("nice -n 10 rm x", &["nice -n 10 rm x", "rm x"])]
#[case("sudo env nohup rm x", &["sudo env nohup rm x", "env nohup rm x", "nohup rm x", "rm x"])]
#[case("sh -c 'rm x; ls'", &["sh -c 'rm x; ls'", "rm x", "ls"])]
#[case("bash -lc \"rm x\"", &["bash -lc \"rm x\"", "rm x"])]
#[case("/bin/bash -euo pipefail -c 'rm x'", &["/bin/bash -euo pipefail -c 'rm x'", "bash -euo pipefail -c 'rm x'", "rm x"])]
#[case("xargs -I{} sh -c 'rm {}'", &["xargs -I{} sh -c 'rm {}'", "sh -c 'rm {}'", "rm {}"])]
#[case("bash script.sh -c x", &["bash script.sh -c x"])]
#[case("find . -name x -exec rm {} \\;", &["find . -name x -exec rm {} \\;", "rm {}"])]
#[case("find . -exec rm {} + -exec ls {} +", &["find . -exec rm {} + -exec ls {} +", "rm {}", "ls {}"])]
#[case("/bin/rm x", &["/bin/rm x", "rm x"])]
#[case("./run.sh x", &["./run.sh x"])]
#[case("\\rm x", &["rm x"])]
#[case("'rm' \"x\"", &["rm x"])]
#[case("r\"m\" x", &["rm x"])]
#[case("git \\\n push", &["git push"])]
#[case("git commit -m \"a b\"", &["git commit -m \"a b\""])]
#[case("busybox rm x", &["busybox rm x", "rm x"])]
#[case("time rm x", &["time rm x", "rm x"])]
#[case("command rm x", &["command rm x", "rm x"])]
#[case("> empty", &["> empty"])]
#[case("for i in 1 2 3; do echo $((i * 2)); done", &["echo $((i * 2))"])]
#[case("for f in *.txt; do mv \"$f\" \"${f:0:3}\"; done", &["mv \"$f\" \"${f:0:3}\""])]
#[case("[[ $# -eq 0 ]] && ls", &["ls"])]
#[case("echo $((N + 1)) ${N:2}", &["echo $((N + 1)) ${N:2}"])]
#[case("echo ${a[@]} ${a[0]} ${!a[*]}", &["echo ${a[@]} ${a[0]} ${!a[*]}"])]
#[case("printf '[%s]' \"$x\"", &["printf '[%s]' \"$x\""])]
#[case("/usr/../bin//rm x", &["/usr/../bin//rm x", "rm x"])]
#[case("../../../bin/rm x", &["../../../bin/rm x", "rm x"])]
#[case("taskset 1 rm x", &["taskset 1 rm x", "rm x"])]
#[case("git 2>/dev/null push", &["git push 2>/dev/null"])]
#[case("a | b 2>/dev/null c", &["a", "b c"])]
#[case("for i in {1..5}; do echo $((i * 2)); done", &["echo $((i * 2))"])]
#[case("for i in 1 \"2\"; do echo $((i * 2)); done", &["echo $((i * 2))"])]
#[case("for ((i=0; i<3; i++)); do echo \"n: $((i * 2))\"; done", &["echo \"n: $((i * 2))\""])]
#[case("set -euo pipefail; echo $((N + 1))", &["set -euo pipefail", "echo $((N + 1))"])]
#[case("export NODE_OPTIONS=\"--trace --inspect\"", &["export NODE_OPTIONS=\"--trace --inspect\""])]
fn is_split(#[case] line: &str, #[case] commands: &[&str]) {
    let split = split_command(line);
    assert_eq!(split.unsplit, None, "{split:?}");
    assert_eq!(split.commands, commands);
}

/// Lines that are not split for certain, and commands that are seen all the same.
#[rstest]
#[case("eval \"rm x\"", "eval \"rm x\"")]
#[case("source ./x.sh", "source ./x.sh")]
#[case(". ./x.sh", ". ./x.sh")]
#[case("$CMD x", "$CMD x")]
#[case("$(echo rm) x", "echo rm")]
#[case("\"$X\" y", "\"$X\" y")]
#[case("r$X y", "r$X y")]
#[case("/bin/r? x", "/bin/r? x")]
#[case("{rm,-rf,x}", "")]
#[case("$'rm' x", "$'rm' x")]
#[case("f() { rm x; }; f", "rm x")]
#[case("function f { rm x; }", "rm x")]
#[case("diff <(rm x) y", "rm x")]
#[case("tee >(rm x)", "rm x")]
#[case("bash <<EOF\nrm x\nEOF\n", "bash <<EOF\nrm x\nEOF")]
#[case("curl x | sh", "curl x")]
#[case("echo rm x | bash -s", "echo rm x")]
#[case("sh -c \"$X\"", "sh -c \"$X\"")]
#[case("sh -c 'eval x; rm y'", "rm y")]
#[case("sudo $X", "sudo $X")]
#[case("xargs $X", "xargs $X")]
#[case("env -S 'rm x'", "env -S 'rm x'")]
#[case("trap 'rm x' EXIT", "trap 'rm x' EXIT")]
#[case("alias ls=rm; ls x", "ls x")]
#[case("find . -exec $X {} \\;", "find . -exec $X {} \\;")]
#[case("if a; then rm x", "rm x")]
#[case("echo 'unfinished", "")]
#[case("ls > $F", "ls > $F")]
#[case("cd sub && echo x > y", "cd sub")]
#[case("rm\u{a0}x", "")]
#[case("ls\rrm x", "")]
#[case("watch 'rm x'", "watch 'rm x'")]
fn is_not_split_for_certain(#[case] line: &str, #[case] seen: &str) {
    let split = split_command(line);
    assert!(split.unsplit.is_some(), "{split:?}");
    assert!(seen.is_empty() || split.commands.iter().any(|c| c == seen), "{split:?}");
}

/// However it is wrapped, `rm x` is seen, or the line counts as unsplit.
#[rstest]
fn nothing_hides_a_command(
    #[values(
        "cat <<'EOF'\n$(not)\nEOF\nrm x",
        "cat <<EOF | rm x\nEOF\n",
        "echo <<EOF; rm x\nEOF\n",
        "cat <<EOF && rm x\nEOF\n",
        "cat <<-EOF\n\tx\n\tEOF\nrm x",
        "cat <<\"E F\"\nx\nE F\nrm x",
        "cat <<\\EOF\n`a`\nEOF\nrm x",
        "cat <<A <<B\na\nA\nb\nB\nrm x",
        "cat <<< $(rm x)",
        "cat <<< \"$(rm x)\"",
        "case $(rm x) in a) ;; esac",
        "case a in $(rm x)) ;; esac",
        "[[ -n $(rm x) ]]",
        "[[ a == $(rm x) ]]",
        "[ -n \"$(rm x)\" ]",
        "arr=($(rm x))",
        "arr[$(rm x)]=1",
        "echo ${arr[$(rm x)]}",
        "echo $((1 + $(rm x)))",
        "((y = $(rm x)))",
        "echo $[ $(rm x) ]",
        "let \"y=$(rm x)\"",
        "select y in a; do rm x; done",
        "coproc rm x",
        "time { rm x; }",
        "if ! rm x; then :; fi",
        "a && { b; } || (rm x)",
        "echo \"`rm x`\"",
        "echo \"${y:-`rm x`}\"",
        "echo ${y:-$(rm x)}",
        "echo ${y/$(rm x)/b}",
        "rm x &> /dev/null &",
        "exec rm x",
        "function f() (rm x)",
        "echo @(a|$(rm x))",
        "for y in a; { rm x; }",
        "for ((i=$(rm x); i<3; i++)); do a; done",
        "#!/bin/sh\nrm x",
        "echo foo#bar; rm x",
        "echo 'a'#b; rm x",
        "echo a # b\nrm x",
        "echo \\\nb; rm x",
        "a;\nrm x",
        "a |\nrm x",
        "a &&\n  rm x",
        "> $(rm x)",
        "a > \"$(rm x)\"",
        "export Y=$(rm x)",
        "local y=`rm x`",
        "unset $(rm x)",
        "Y=$(rm x) a",
        "echo {a,$(rm x)}",
        "echo ~$(rm x)",
        "echo a$(rm x)b",
        "{ rm x; } 2>&1 | tee y",
        "while ! a; do rm x; done < b",
        "if true; then rm x; fi > y",
        "sudo -E env A=1 timeout 5 nice -n 3 rm x",
        "find . -type f -print0 | xargs -0 -I{} rm x",
        "bash -c \"bash -c 'rm x'\"",
        "bash -c 'echo $(rm x)'",
        "flock lock rm x",
        "command -- rm x",
        "\\r\\m x",
        "r''m x",
        "\"rm\" x",
        "if a; then b; fi; rm x",
        "a() { b; }; rm x",
        "! rm x",
        "true;rm x",
        "true&rm x",
        "(((rm x)))",
        "echo $(( $(rm x) ))",
        "echo $( (rm x) )",
        "echo a<(rm x)",
        "echo a >(rm x)",
        "echo \"${y:=`rm x`} and ${z:-$(a)}\"",
        "cat <<EOF\n${y:-`rm x`}\nEOF\n",
        "cat <<EOF\n`rm x`\nEOF\n",
        "echo ${y#`rm x`}",
        "echo \"\\\\`rm x`\"",
        "echo ${y@P}",
        "test -v 'a[$(rm x)]'",
        "echo \"${y:-'$(rm x)'}\"",
        "echo \"${y:='`rm x`'}\"",
        "echo \"${@:-'$(rm x)'}\"",
        "cat <<E\n${y:-'$(rm x)'}\nE",
        "echo ${a['$(rm x)']}",
        "echo \"$(( '$(rm x)' ))\"",
        "echo \"$[ '$(rm x)' ]\"",
        "echo a\\\n#y; rm x",
        "echo \"$\\\n(rm x)\"",
        "r\\\nm x",
        "printf -v \"a[\\$(rm x)]\" y",
        "printf -v a[\\$\\(rm\\ x\\)] y",
        "printf -v 'a[$'\"(rm x)]\" y",
        "printf -v\"a[\\$(rm x)]\" y",
        "command printf -v \"a[\\$(rm x)]\" y",
        "builtin read \"a[\\$(rm x)]\" < y",
        "test -v \"a[\\$(rm x)]\"",
        "[ -v \"a[\\$(rm x)]\" ]",
        "[[ -v \"a[\\$(rm x)]\" ]]",
        "[[ \"a[\\$(rm x)]\" -eq 1 ]]",
        "declare -i \"y=a[\\$(rm x)]\"",
        "declare \"a[\\$(rm x)]=1\"",
        "let \"a[\\$(rm x)]=1\"",
        "unset \"a[\\$(rm x)]\"",
        "for y in 'a['; do for z in '$(rm x)]'; do echo $(($y$z)); done; done",
        "for y in $(printf 'a[\\044(rm x)]'); do echo $((y)); done",
        "for y in *; do echo $((y)); done",
        "TZ='$(rm x)'; echo $((a[$TZ]))",
        "printf -v y %s 'a['; printf -v z %s '$(rm x)]'; echo $(($y$z))",
        "echo ${y:='a['}${z:='$(rm x)]'} $(($y$z))",
        "while read y; do echo $((y)); done < z",
        "while read y; do [[ $y -gt 1 ]]; done < z",
        "while read y; do echo ${!y}; done < z",
        "while read y; do echo ${z:y}; done < z",
        "set -- 'a[' '$(rm x)]'; echo $(($1$2))",
        "echo $(( $(printf 'a[\\044(rm x)]') ))",
        "echo \"$((`rm x`))\"",
        "echo > y $(rm x)",
        "echo 2>&1 \"`rm x`\"",
        "export > y Z=$(rm x)",
        "find . 2>/dev/null -exec rm x \\;",
        "find . | xargs 2>/dev/null rm x",
        "sh 2>/dev/null -c 'rm x'",
        "xargs <<E rm x\na\nE\n",
        "echo\n\\rm x",
        "if :\n\\rm x\nthen :; fi",
        "echo =~\nrm x",
        "TZ=$\nrm x",
        "TZ=(])echo rm x",
        "echo 10#$(rm x)",
        "TZ='a[ $(rm x)]'; echo ${@:TZ}",
        "TZ='a[ $(rm x)]'; echo \"${*:1:TZ}\"",
        "TZ='a[ $(rm x)]'; echo ${?:TZ}",
        "TZ='a[ $(rm x)]' bash -c 'echo $((TZ))'",
        "bash -c 'echo $(($1))' _ 'a[ $(rm x)]'",
        "bash -c 'echo ${!#}' _ 'a[ $(rm x)]'",
        "echo 'a[ $(rm x)]'; echo $((_))",
        "echo 'a[ $(rm x)]'; echo ${!_}",
        "[[ 'a[ $(rm x)]' =~ .* ]]; echo $((BASH_REMATCH))",
        "echo $((${BASH_EXECUTION_STRING:41:12})) # a[ $(rm x)]",
        "declare '-i' TZ; TZ='a[ $(rm x)]'",
        "time printf -v 'a[ $(rm x)]' y",
        "test ${Y--v} 'a[ $(rm x)]'",
        "compgen -W '$(rm x)'",
        "echo >&'$(rm x)'",
        "echo >&\"\\$(rm x)\"",
        "echo >\\ #\nrm x",
        "echo \\ #$(rm x)",
        "[0]#; rm x",
        "[0]#$(rm x)",
        "jobs -x rm x"
    )]
    line: &str,
) {
    let split = split_command(line);
    assert!(split.unsplit.is_some() || split.commands.iter().any(|c| c.starts_with("rm x")), "{split:?}");
}

#[rstest]
#[case("cat < a > b", &["a"], &["b"])]
#[case("cat >> b 2> 'c d'", &[], &["b", "c d"])]
#[case("x &> b", &[], &["b"])]
#[case("x >| b", &[], &["b"])]
#[case("x >& b", &[], &["b"])]
#[case("x > /dev/null 2>&1", &[], &[])]
#[case("x 2>/dev/null >&2", &[], &[])]
#[case("{ a; b; } > c", &[], &["c"])]
#[case("a | b > c", &[], &["c"])]
#[case("for x in 1; do a; done < in", &["in"], &[])]
#[case("cat > f <<EOF\nx\nEOF\n", &[], &["f"])]
#[case("> f", &[], &["f"])]
#[case("echo $(cat < a)", &["a"], &[])]
#[case("$(< a)", &["a"], &[])]
fn redirections_name_their_files(#[case] line: &str, #[case] reads: &[&str], #[case] writes: &[&str]) {
    let split = split_command(line);
    assert_eq!((split.reads.as_slice(), split.writes.as_slice()), (&reads.map_owned()[..], &writes.map_owned()[..]));
}

trait Owned {
    fn map_owned(&self) -> Vec<String>;
}

impl Owned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}
