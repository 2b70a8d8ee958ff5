//! `cargo xtask llama`: the tests of the local models with llama.cpp computing. No part of `test`: its C++ takes longer
//! to build than all of Victor.

use crate::test::{Must, Need};
use crate::{model, sh, test};

const NEEDS: [Need; 4] = [need("cmake", "cmake"), need("make", "make"), need("c++", "g++"), need("clang", "clang")];

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, version_flag: "--version", package, without: "the build of llama.cpp", must: Must::Have }
}

/// Builds llama.cpp where that was not done before, then runs the tests.
pub(crate) fn run() -> Result<(), String> {
    test::provide(&NEEDS)?;
    let gaps = model::provide();
    let args = ["test", "--release", "--package", "victor-local", "--features", "llama-cpp", "--lib", "--tests"];
    sh::run(sh::cargo(&args))?;
    match gaps.as_slice() {
        [] => println!("\nall parts ran and passed"),
        gaps => println!("\npassed; could not run on this machine:\n  {}", gaps.join("\n  ")),
    }
    Ok(())
}
