//! `cargo xtask bench`: the benches, then figures of whole processes of the release binary: time, size and memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::sh;

/// How often each process is started; the figure is the median.
const RUNS: usize = 41;

/// Runs the benches and prints the figures.
pub(crate) fn run() -> Result<(), String> {
    sh::run(sh::cargo(&["bench", "--workspace", "--benches"]))?;
    sh::run(sh::cargo(&["build", "--release", "--package", "victor-cli"]))?;
    let victor = binary()?;
    println!("\n| figure | median of {RUNS} |\n|---|---|");
    let size = fs::metadata(&victor).map_err(|e| format!("{}: {e}", victor.display()))?.len();
    println!("| size of the binary | {} MB |", tenths(u128::from(size), 1_000_000));
    for args in [&["--version"][..], &["--help"], &["tools", "list", "--json"]] {
        let figure = measure(&victor, args)?;
        let name = args.join(" ");
        println!("| `victor {name}`, wall | {} ms |", tenths(figure.micros, 1000));
        if let Some(kib) = figure.peak_kib {
            println!("| `victor {name}`, peak memory | {} MB |", tenths(kib * 1024, 1_000_000));
        }
    }
    Ok(())
}

struct Figure {
    micros: u128,
    peak_kib: Option<u128>,
}

/// Starts the program again and again, in a home folder of its own.
fn measure(program: &Path, args: &[&str]) -> Result<Figure, String> {
    let home = std::env::temp_dir().join(format!("victor-bench-{}", std::process::id()));
    fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let mut command = Command::new(program);
        command.args(args).env("VICTOR_HOME", &home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().map_err(|e| format!("{}: {e}", program.display()))?;
        times.push(start.elapsed().as_micros());
        if !status.success() {
            return Err(format!("victor {} ended with {status}", args.join(" ")));
        }
    }
    let peak_kib = peak(program, args, &home);
    // The folder is ours and only in the way.
    let _ = fs::remove_dir_all(&home);
    times.sort_unstable();
    Ok(Figure { micros: times[RUNS / 2], peak_kib })
}

/// The peak resident memory in KiB, where GNU time is there to tell it (`-f %M`).
fn peak(program: &Path, args: &[&str], home: &Path) -> Option<u128> {
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M"])
        .arg(program)
        .args(args)
        .env("VICTOR_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stderr).lines().last()?.trim().parse().ok()
}

fn binary() -> Result<PathBuf, String> {
    let output = sh::cargo(&["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = output.map_err(|e| format!("cargo could not be started: {e}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target folder")?;
    Ok(Path::new(target).join("release/victor"))
}

/// `amount / unit` with one decimal.
fn tenths(amount: u128, unit: u128) -> String {
    let tenths = amount * 10 / unit;
    format!("{}.{}", tenths / 10, tenths % 10)
}
