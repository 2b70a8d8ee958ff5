//! The built program as a user meets it: exit codes, streams, signals, files.

mod chat;
mod commands;
mod folder;
mod run;
mod support;
