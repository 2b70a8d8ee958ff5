//! The formations: who is asked when, and with whose words.

mod chain;
mod consensus;
mod crowd;
mod debate;
mod hierarchy;
mod reflection;

use super::floor::{Floor, Stop};
use super::outcome::Contribution;
use super::spec::Formation;

/// Has the team work; gives its answer.
pub(super) async fn work(floor: &Floor<'_>) -> Result<String, Stop> {
    floor.begin().await;
    match floor.team.formation {
        Formation::Sequential => chain::sequential(floor).await,
        Formation::Pipeline => chain::pipeline(floor).await,
        Formation::Parallel => crowd::parallel(floor).await,
        Formation::Flat => crowd::flat(floor).await,
        Formation::Hierarchical => hierarchy::hierarchical(floor).await,
        Formation::Consensus => consensus::consensus(floor).await,
        Formation::Debate => debate::debate(floor).await,
        Formation::Reflection => reflection::reflection(floor).await,
    }
}

/// Names and words, for a message to others.
fn words(said: &[Contribution]) -> impl Iterator<Item = (&str, &str)> {
    said.iter().map(|c| (c.member.as_str(), c.text.as_str()))
}

/// The names of those who said something, each once.
fn names(said: &[Contribution]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for member in said.iter().map(|c| &c.member) {
        if !names.contains(member) {
            names.push(member.clone());
        }
    }
    names
}
