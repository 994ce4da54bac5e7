//! A whole kubelet against a stub of the apiserver.

mod callers;
mod joining;
mod stage;
