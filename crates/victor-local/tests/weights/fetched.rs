//! Downloads that break off, bring the wrong file, or meet another one.

use std::sync::Arc;

use victor_local::weights::{State, Step, Wanted, WeightsError};

use crate::server::Server;
use crate::world::{Full, World, model, sha256};

fn refused(error: &WeightsError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    let server = Server::start(model());
    server.change(|manner| manner.cut = Some(150_000));
    let world = World::serving(server.address());
    let pulled = world.pull().await.unwrap();
    assert_eq!(std::fs::read(&pulled.record.path).unwrap(), model());
    let ranges = server.ranges();
    assert_eq!(ranges.len(), 2);
    // What was on its way when the connection broke may be lost.
    let from: usize = ranges[1].as_ref().unwrap()["bytes=".len()..].trim_end_matches('-').parse().unwrap();
    assert!(from > 0 && from <= 150_000, "{from}");
    assert!(world.ear.heard(|step| matches!(step, Step::Again { .. })));
}

#[tokio::test]
async fn another_process_goes_on_with_what_one_left() {
    let server = Server::start(model());
    server.change(|manner| manner.cut = Some(150_000));
    let mut world = World::serving(server.address());
    world.means.patience.tries = 1;
    // The first try brings something, so a second one follows: it meets a server that is gone.
    let gone = async {
        loop {
            if matches!(world.weights().entries()[0].state, State::Begun(bytes) if bytes >= 100_000) {
                return server.change(|manner| manner.status = 503);
            }
            tokio::task::yield_now().await;
        }
    };
    let (first, ()) = tokio::join!(world.pull(), gone);
    refused(&first.unwrap_err(), &["tiny could not be fetched", "503"]);
    server.change(|manner| manner.status = 200);
    world.pull().await.unwrap();
    assert!(server.ranges().last().unwrap().is_some(), "it began anew: {:?}", server.ranges());
    assert!(world.ear.heard(|step| matches!(step, Step::Begin { done, .. } if *done >= 100_000)));
}

#[tokio::test]
async fn a_server_without_ranges_sends_it_all_again() {
    let server = Server::start(model());
    server.change(|manner| (manner.cut, manner.ranges) = (Some(90_000), false));
    let world = World::serving(server.address());
    let pulled = world.pull().await.unwrap();
    assert_eq!(pulled.record.sha256, sha256(&model()));
    assert_eq!(server.ranges().len(), 2);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_removed() {
    let mut damaged = model();
    damaged[5000] ^= 1;
    let server = Server::start(damaged);
    let world = World::serving(server.address());
    refused(&world.pull().await.unwrap_err(), &["SHA-256", "damaged", "Hugging Face"]);
    assert_eq!(world.weights().entries()[0].state, State::Absent);
    server.change(|manner| manner.content = model());
    world.pull().await.unwrap();
}

#[tokio::test]
async fn a_part_of_another_file_does_not_spoil_the_next_try() {
    let mut other = model();
    other[3] ^= 1;
    let server = Server::start(other);
    server.change(|manner| manner.cut = Some(100_000));
    let mut world = World::serving(server.address());
    world.means.patience.tries = 1;
    let swapped = async {
        loop {
            if matches!(world.weights().entries()[0].state, State::Begun(_)) {
                return server.change(|manner| (manner.content, manner.tag) = (model(), "\"two\"".to_owned()));
            }
            tokio::task::yield_now().await;
        }
    };
    let (pulled, ()) = tokio::join!(world.pull(), swapped);
    assert_eq!(pulled.unwrap().record.sha256, sha256(&model()));
}

#[tokio::test]
async fn a_damaged_part_of_an_earlier_process_is_fetched_anew() {
    let server = Server::start(model());
    let world = World::serving(server.address());
    let folder = world.models().join("tiny");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("download.part"), vec![0; 100_000]).unwrap();
    let url = format!("{}/some/repo/resolve/{}/m.gguf", server.address(), "c0ffee".repeat(7));
    let note = format!(r#"{{"url": "{url}", "validator": "\"one\""}}"#);
    std::fs::write(folder.join("download.json"), note).unwrap();
    let pulled = world.pull().await.unwrap();
    assert_eq!(pulled.record.sha256, sha256(&model()));
    assert_eq!(server.ranges(), [Some("bytes=100000-".to_owned()), None]);
}

#[tokio::test]
async fn a_whole_file_that_was_not_installed_is_not_fetched_again() {
    let mut world = World::serving("http://127.0.0.1:9".to_owned());
    world.means.closed = Some("there is no network".to_owned());
    let folder = world.models().join("tiny");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("download.part"), model()).unwrap();
    world.pull().await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_size_is_not_even_begun() {
    let server = Server::start(model()[..1000].to_vec());
    let world = World::serving(server.address());
    refused(&world.pull().await.unwrap_err(), &["1000 bytes and not 400004"]);
    assert_eq!(world.weights().entries()[0].state, State::Absent);
}

#[tokio::test]
async fn redirects_are_followed_and_failures_are_named() {
    let server = Server::start(model());
    server.change(|manner| manner.redirect = Some(("/some/repo", "/elsewhere/m.gguf")));
    World::serving(server.address()).pull().await.unwrap();
    server.change(|manner| manner.status = 404);
    let world = World::serving(server.address());
    refused(&world.pull().await.unwrap_err(), &["Hugging Face (some/repo at c0ffeec0)", "404"]);
    let nowhere = World::serving("http://127.0.0.1:9".to_owned());
    refused(&nowhere.pull().await.unwrap_err(), &["cannot be reached"]);
}

#[tokio::test]
async fn who_comes_second_waits_and_uses_the_result() {
    let server = Server::start(model());
    server.change(|manner| manner.shut = true);
    let world = World::serving(server.address());
    let second = async {
        while server.ranges().is_empty() {
            tokio::task::yield_now().await;
        }
        world.pull().await
    };
    let opens = async {
        while !world.ear.heard(|step| matches!(step, Step::Waiting { holder } if holder.starts_with("process "))) {
            tokio::task::yield_now().await;
        }
        server.change(|manner| manner.shut = false);
    };
    let (first, second, ()) = tokio::join!(world.pull(), second, opens);
    assert!(!first.unwrap().was_there && second.unwrap().was_there);
    assert_eq!(server.ranges().len(), 1, "it was fetched twice");
}

#[tokio::test]
async fn a_full_disk_is_told_before_anything_is_fetched() {
    let server = Server::start(model());
    let mut world = World::serving(server.address());
    world.means.room = Arc::new(Full);
    refused(&world.pull().await.unwrap_err(), &["needs 50 MB of room", "12 MB are free", "VICTOR_HOME"]);
    assert!(server.ranges().is_empty());
}

#[tokio::test]
async fn nothing_is_fetched_where_that_is_forbidden() {
    let server = Server::start(model());
    let mut world = World::serving(server.address());
    world.means.closed = Some("VICTOR_AIRGAPPED_MODE is set".to_owned());
    refused(&world.pull().await.unwrap_err(), &["VICTOR_AIRGAPPED_MODE", "models pull FILE"]);
    let url = Wanted::Url { url: format!("{}/x.gguf", server.address()), name: None, sha256: None };
    refused(&world.pull_wanted(&url).await.unwrap_err(), &["VICTOR_AIRGAPPED_MODE"]);
    assert!(server.ranges().is_empty());
}

#[tokio::test]
async fn any_address_can_be_named() {
    let server = Server::start(model());
    let world = World::serving(server.address());
    let url = |sha256: Option<String>| Wanted::Url {
        url: format!("{}/Some-Model.Q8_0.gguf?download=true", server.address()),
        name: None,
        sha256,
    };
    refused(&world.pull_wanted(&url(Some(sha256(b"other")))).await.unwrap_err(), &["SHA-256"]);
    let nowhere = Wanted::Url { url: "http://127.0.0.1:9/x.gguf?key=s".to_owned(), name: None, sha256: None };
    refused(&world.pull_wanted(&nowhere).await.unwrap_err(), &["the file at http://127.0.0.1:9/x.gguf: it cannot be"]);
    let pulled = world.pull_wanted(&url(Some(sha256(&model())))).await.unwrap();
    assert_eq!(pulled.record.name, "some-model.q8_0");
    assert!(world.pull_wanted(&url(None)).await.unwrap().was_there);
    server.change(|manner| manner.content = b"<html>a login page</html>".to_vec());
    let page = Wanted::Url { url: format!("{}/page", server.address()), name: None, sha256: None };
    refused(&world.pull_wanted(&page).await.unwrap_err(), &["no GGUF file"]);
    assert_eq!(world.weights().entries().len(), 2);
}
