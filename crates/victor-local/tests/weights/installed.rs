//! What is on this machine: what was checked, what has changed since, the user's own files, and what is removed.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use victor_core::error::ProviderErrorKind;
use victor_core::request::CallCx;
use victor_local::Resolver;
use victor_local::weights::{Progress, Silent, State, Step, Wanted, Weights, WeightsError};

use crate::server::Server;
use crate::world::{Doubling, World, model, sha256};

fn cx() -> CallCx {
    CallCx { cancel: CancellationToken::new(), idle_timeout: Duration::from_secs(5) }
}

fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}

#[tokio::test]
async fn a_file_that_changed_is_refused_and_one_that_was_touched_is_not() {
    let server = Server::start(model());
    let world = World::serving(server.address());
    let path = world.pull().await.unwrap().record.path;
    let found = world.weights().resolve("tiny", &cx()).await.unwrap();
    assert_eq!((found.name.as_str(), &found.path), ("tiny", &path));

    let before = world.weights().resolved("tiny").await.unwrap().modified;
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let touched = world.weights().resolved("tiny").await.unwrap();
    assert_ne!(touched.modified, before);
    let State::Installed(remembered) = world.weights().find("tiny").unwrap().state else { panic!("gone") };
    assert_eq!(remembered.modified, touched.modified, "it would be read whole at every start");

    let mut damaged = model();
    damaged[9] ^= 1;
    fs::write(&path, damaged).unwrap();
    let error = world.weights().resolve("tiny", &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::NotConfigured);
    assert!(error.message.contains("SHA-256") && error.message.contains("victor models pull tiny"), "{error}");
    world.pull().await.unwrap();
    world.weights().resolve("tiny", &cx()).await.unwrap();
}

#[tokio::test]
async fn models_move_with_their_folder() {
    let server = Server::start(model());
    let world = World::serving(server.address());
    let before = world.pull().await.unwrap().record.path;
    let moved = world.folder.path().join("moved");
    fs::rename(world.models(), &moved).unwrap();
    let weights = Weights::with_known(moved.clone(), world.means.clone(), world.known);
    let found = weights.resolve("tiny", &cx()).await.unwrap();
    assert_eq!(found.path, moved.join(before.strip_prefix(world.models()).unwrap()));
}

#[tokio::test]
async fn damage_that_keeps_size_and_time_is_found_on_demand() {
    let server = Server::start(model());
    let world = World::serving(server.address());
    let record = world.pull().await.unwrap().record;
    let time = fs::metadata(&record.path).unwrap().modified().unwrap();
    let mut damaged = model();
    damaged[9] ^= 1;
    fs::write(&record.path, damaged).unwrap();
    File::options().write(true).open(&record.path).unwrap().set_modified(time).unwrap();
    assert!(world.weights().resolved("tiny").await.is_ok(), "every start would read the file whole");
    let error = world.weights().verify("tiny", &silent()).await.unwrap_err();
    assert!(matches!(error, WeightsError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn what_the_engine_wants_otherwise_is_converted_once() {
    let server = Server::start(model());
    let mut world = World::serving(server.address());
    world.means.convert = Arc::new(Doubling);
    let record = world.pull().await.unwrap().record;
    let doubled = model().repeat(2);
    assert_eq!(fs::read(&record.path).unwrap(), doubled);
    assert_eq!((record.sha256, record.source_sha256), (sha256(&doubled), sha256(&model())));
    assert!(world.pull().await.unwrap().was_there);
    world.weights().verify("tiny", &silent()).await.unwrap();
    let left = fs::read_dir(world.models().join("tiny")).unwrap().count();
    assert_eq!(left, 2, "more than the model and its record is left");
}

#[tokio::test]
async fn a_file_of_the_users_own_serves_where_it_is() {
    let world = World::new(Vec::new());
    let path = world.file("My Model.gguf", &model());
    let pulled = world.pull_wanted(&Wanted::File { path: path.clone(), name: None }).await.unwrap();
    assert_eq!((pulled.record.name.as_str(), &pulled.record.path), ("my-model", &path.canonicalize().unwrap()));
    assert_eq!(world.weights().best().unwrap().name, "my-model");
    let found = world.weights().resolve("", &cx()).await.unwrap();
    assert_eq!(found.name, "my-model", "nothing else is installed");
    world.weights().remove("my-model").unwrap();
    assert!(path.exists(), "a file of the user's own was deleted");
    assert!(matches!(world.weights().find("my-model"), Err(WeightsError::Unknown { .. })));
}

#[tokio::test]
async fn what_is_no_model_or_has_no_good_name_is_refused() {
    let world = World::new(Vec::new());
    let good = world.file("m.gguf", &model());
    let text = world.file("notes.txt", b"no model");
    let refused = async |path, name: Option<&str>| {
        let wanted = Wanted::File { path, name: name.map(str::to_owned) };
        world.pull_wanted(&wanted).await.unwrap_err().to_string()
    };
    assert!(refused(text, None).await.contains("no GGUF file"));
    assert!(refused(world.folder.path().join("none.gguf"), None).await.contains("none.gguf cannot be read"));
    for name in ["../up", "a/b", "", "Big"] {
        assert!(refused(good.clone(), Some(name)).await.contains("cannot be a model's name"), "{name}");
    }
    let tiny = refused(world.file("big.gguf", b"GGUF another one"), Some("tiny")).await;
    assert!(tiny.contains("--name"), "a name of the list was taken: {tiny}");
    world.pull_wanted(&Wanted::File { path: good.clone(), name: Some("tiny".to_owned()) }).await.unwrap();
    world.weights().verify("tiny", &silent()).await.unwrap();
    world.pull_wanted(&Wanted::File { path: good, name: None }).await.unwrap();
    let other = world.file("other.gguf", b"GGUF another one");
    assert!(refused(other, Some("m")).await.contains("--name"));
}

#[tokio::test]
async fn names_that_are_not_there_say_what_to_do() {
    let world = World::new(Vec::new());
    let error = world.weights().resolve("tiny", &cx()).await.unwrap_err();
    assert!(error.message.contains("`victor models pull tiny` fetches it"), "{error}");
    let error = world.weights().resolve("tinny", &cx()).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::NotFound);
    assert!(error.message.contains("did you mean `tiny`?"), "{error}");
    assert!(world.weights().remove("tiny").unwrap_err().to_string().contains("not on this machine"));
    assert!(!world.models().exists(), "looking made a folder");
}

#[tokio::test]
async fn a_model_that_is_being_fetched_is_not_removed() {
    let server = Server::start(model());
    server.change(|manner| manner.shut = true);
    let world = World::serving(server.address());
    let removed = async {
        while !world.ear.heard(|step| matches!(step, Step::Begin { .. })) {
            tokio::task::yield_now().await;
        }
        let part = world.models().join("tiny/download.part");
        fs::write(&part, b"x").unwrap();
        let removed = world.weights().remove("tiny");
        fs::write(&part, b"").unwrap();
        server.change(|manner| manner.shut = false);
        removed
    };
    let (_, removed) = tokio::join!(world.pull(), removed);
    assert!(removed.unwrap_err().to_string().contains("is being fetched"));
}

/// Says nothing where the tests run as somebody who may do everything.
#[tokio::test]
async fn what_may_not_be_read_or_written_is_told_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start(model());
    let world = World::serving(server.address());
    let path = world.pull().await.unwrap().record.path;
    let may = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    may(&path, 0o000);
    if File::open(&path).is_err() {
        let error = world.pull().await.unwrap_err().to_string();
        assert!(error.contains("cannot be read") && error.contains("make it readable"), "{error}");
    }
    may(&path, 0o600);
    // A folder of somebody else that holds it already serves.
    fs::remove_file(world.models().join("tiny.lock")).unwrap();
    may(&world.models(), 0o500);
    if File::create(world.models().join("x")).is_err() {
        assert!(world.pull().await.unwrap().was_there);
        let file = world.file("other.gguf", &model());
        let other = Wanted::File { path: file, name: Some("other".to_owned()) };
        let error = world.pull_wanted(&other).await.unwrap_err().to_string();
        assert!(error.contains("cannot be locked") && error.contains("VICTOR_HOME"), "{error}");
    }
    may(&world.models(), 0o700);
}
