//! A search by meaning: sentences as vectors, and those nearest to a question.
#![allow(clippy::print_stdout)]

use victor::prelude::*;

const NOTES: [&str; 6] = [
    "The cat slept on the warm windowsill all afternoon.",
    "Restart the server with `systemctl restart api` after a deploy.",
    "Our invoices are due within thirty days.",
    "To reset a password, open the settings and choose Security.",
    "Bread needs flour, water, salt and yeast.",
    "The database is backed up every night at two.",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), VictorError> {
    let victor = victor::from_env().await?;

    let notes = victor.embed(NOTES).await?; // each vector once; keep them with `notes.model` beside them
    for question in ["How do I change my login credentials?", "When must a customer pay?"] {
        let asked = &victor.embed([question]).await?.vectors[0];
        let mut found: Vec<_> = notes.vectors.iter().map(|note| note.similarity(asked)).zip(NOTES).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        println!("{question}\n  {}", found[0].1);
    }
    Ok(())
}
