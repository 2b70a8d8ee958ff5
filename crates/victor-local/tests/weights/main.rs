//! Models fetched from a server on this machine, a package index that is made up, and files: what breaks off, what is
//! damaged, who waits, and what is remembered.
#![allow(clippy::unwrap_used, clippy::panic)]

mod beside;
mod fetched;
mod given_up;
mod indexed;
mod installed;
mod packaged;
mod resumed;
mod runner;
mod server;
mod world;
