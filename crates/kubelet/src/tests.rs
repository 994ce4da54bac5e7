//! A whole kubelet against a stub of the apiserver.

mod asking;
mod callers;
mod joining;
mod pages;
mod pods;
mod renewing;
mod restarts;
mod stage;
mod streams;
