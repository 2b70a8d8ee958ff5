//! Prints the JSON schema of workflow files; `cargo xtask schema` keeps it in `docs/schemas`.
#![expect(clippy::print_stdout, reason = "what an example is for")]

fn main() {
    println!("{}", victor_workflow::yaml::schema_json());
}
