//! `victor serve` over TLS: both versions of HTTP, a certificate that changes, files that cannot be used; and what the
//! process takes of its machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client, ClientBuilder, Version};
use serde_json::{Value, json};
use victor_tests::product::{Bench, refused, told};
use victor_tests::served::Served;
use victor_tests::{ModelServer, Reply};

/// How long something that comes by itself is waited for.
const LONG: Duration = Duration::from_secs(30);

/// A certificate of its own for `localhost`, in two files of the bench.
struct Identity {
    made: CertifiedKey<KeyPair>,
}

impl Identity {
    fn new() -> Self {
        Self { made: generate_simple_self_signed(["localhost".to_owned()]).unwrap() }
    }

    fn write(&self, bench: &Bench) {
        bench.file("cert.pem", pem("CERTIFICATE", self.made.cert.der()));
        bench.file("key.pem", pem("PRIVATE KEY", &self.made.signing_key.serialize_der()));
    }

    /// A client that trusts this certificate and no other; it keeps no connection.
    fn client(&self, served: &Served, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let only = Certificate::from_der(self.made.cert.der()).unwrap();
        let builder = Client::builder().tls_certs_only([only]).resolve("localhost", served.address()).no_proxy();
        change(builder.pool_max_idle_per_host(0).timeout(LONG)).build().unwrap()
    }

    /// Whether a new connection is served with this certificate.
    async fn serves(&self, served: &Served) -> bool {
        self.client(served, |client| client).get(url(served, "/health/live")).send().await.is_ok()
    }
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

fn url(served: &Served, path: &str) -> String {
    format!("https://localhost:{}{path}", served.address().port())
}

fn serve(bench: &Bench) -> Served {
    Served::start(bench.victor(&["serve", "--port", "0", "--ssl-cert", "cert.pem", "--ssl-key", "key.pem"]))
}

fn hang_up(served: &Served) {
    assert!(Command::new("kill").args(["-HUP", &served.id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn http_1_and_2_are_served_over_tls_and_plain_text_is_not() {
    let (bench, identity) = (Bench::new(), Identity::new());
    identity.write(&bench);
    let model = ModelServer::options().lenient().start_with(|_| Reply::text("Hello!"));
    let flags = ["serve", "--port", "0", "--ssl-cert", "cert.pem", "--ssl-key", "key.pem"];
    let served = Served::start(bench.with_model(&model, &flags));
    assert!(served.announced.contains("https://"), "{}", served.announced);
    let one = identity.client(&served, ClientBuilder::http1_only);
    let two = identity.client(&served, |client| client);
    for (client, version) in [(one, Version::HTTP_11), (two, Version::HTTP_2)] {
        let say = json!({"message": "Hi"}).to_string();
        let answer = client.post(url(&served, "/api/v1/chat")).body(say.clone()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(answer["response"], "Hello!");
        // A page of the server itself may call it, over TLS too.
        let own = url(&served, "");
        let stream = client.post(url(&served, "/api/v1/chat/stream")).header("origin", own).body(say);
        let stream = stream.send().await.unwrap();
        assert_eq!((stream.status().as_u16(), stream.version()), (200, version));
        let events = stream.text().await.unwrap();
        assert!(events.contains("Hello!") && events.matches("event: end").count() == 1, "{events}");
    }
    let plain = Client::builder().no_proxy().build().unwrap();
    assert!(plain.get(served.url() + "/health").send().await.is_err());
}

#[tokio::test]
async fn a_hangup_reads_the_certificate_again_and_a_broken_one_changes_nothing() {
    let (bench, first, second) = (Bench::new(), Identity::new(), Identity::new());
    first.write(&bench);
    let mut served = serve(&bench);
    assert!(first.serves(&served).await && !second.serves(&served).await);
    second.write(&bench);
    assert!(first.serves(&served).await, "nobody has asked for the new one yet");
    hang_up(&served);
    let begun = Instant::now();
    while !second.serves(&served).await {
        assert!(begun.elapsed() < LONG, "the new certificate is not served");
    }
    assert!(!first.serves(&served).await);
    bench.file("key.pem", "no key");
    hang_up(&served);
    let said = served.says("the old one stays");
    assert!(said.contains("cannot be read again"), "{said}");
    assert!(second.serves(&served).await);
}

#[test]
fn certificates_that_cannot_be_used_are_named_before_anything_is_served() {
    let (bench, identity, other) = (Bench::new(), Identity::new(), Identity::new());
    identity.write(&bench);
    bench.file("other.pem", pem("PRIVATE KEY", &other.made.signing_key.serialize_der()));
    bench.file("empty.pem", "");
    for (cert, key) in [("none.pem", "key.pem"), ("cert.pem", "none.pem"), ("cert.pem", "other.pem")]
        .into_iter()
        .chain([("empty.pem", "key.pem"), ("cert.pem", "empty.pem")])
    {
        let args = ["serve", "--port", "0", "--ssl-cert", cert, "--ssl-key", key];
        refused(&bench.victor(&args).output().unwrap(), 3, &[cert, key]);
    }
}

/// The number in a line of one of the process's files.
#[cfg(target_os = "linux")]
fn of_process(served: &Served, file: &str, line: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", served.id())).unwrap();
    let line = text.lines().find(|l| l.starts_with(line)).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn as_many_files_may_be_open_as_the_system_lets_a_process_have() {
    let bench = Bench::new();
    let victor = PathBuf::from(bench.victor(&[]).get_program());
    let mut shell = bench.program(std::path::Path::new("/bin/sh"));
    shell.args(["-c", "ulimit -S -n 64 && exec \"$0\" serve --port 0"]).arg(victor);
    let served = Served::start(shell);
    let limits = of_process(&served, "limits", "Max open files");
    assert!(limits[0] == limits[1] && limits[0] > 64, "{limits:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn flags_beat_variables_and_variables_beat_files_for_the_number_of_threads() {
    let bench = Bench::new();
    std::fs::write(bench.home().join("config.yaml"), "server: {workers: 9, port: 1}\n").unwrap();
    let threads = |variable: Option<&str>, flags: &[&str]| {
        let mut command = bench.victor(&[&["serve"], flags].concat());
        command.env("VICTOR_SERVER__PORT", "0").envs(variable.map(|n| ("VICTOR_SERVER__WORKERS", n)));
        of_process(&Served::start(command), "status", "Threads:")[0]
    };
    let (file, variable, flag) = (threads(None, &[]), threads(Some("6"), &[]), threads(Some("6"), &["--workers", "2"]));
    assert!(file >= 9 && variable < file && flag < variable, "{file} {variable} {flag}");
    for wrong in [["--workers", "0"], ["--port", "70000"], ["--grace", "soon"]] {
        let (_, err, code) = told(&bench.victor(&[&["serve"], &wrong[..]].concat()).output().unwrap());
        assert!(code == 2 && err.contains(wrong[0]), "{wrong:?}: {err}");
    }
}
