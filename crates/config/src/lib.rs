//! Real configuration files read into one typed [`ClusterConfig`].
//!
//! The input is the text of files that a cluster already has; the output is a value in which nothing can be wrong any
//! more, or every error at once, each with its file, line and key. This crate is pure: it opens no file, asks no
//! clock and knows nothing of how a cluster is run. What it does not understand it says, it never guesses.

mod assemble;
mod catalogue;
mod datum;
mod defaults;
mod documents;
mod error;
mod gathered;
mod invocation;
mod kubeadm;
mod model;
mod read;
mod sheet;
mod source;
mod suggest;
mod versions;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use model::*;
pub use ravelin_api::yaml_text as yaml;

/// One file of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The name that errors and the report show (a path, or `-` for standard input).
    pub name: String,
    /// Its whole text.
    pub text: String,
}
