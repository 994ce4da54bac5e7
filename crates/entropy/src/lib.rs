//! Randomness: seeded on a simulation's thread, the operating system's everywhere else.
//!
//! The only crate with `unsafe`: it defines libc's `getrandom`, because libraries that draw their
//! own randomness (russh, the seeds of hash maps) leave no other way in. On a thread that called
//! [`enter`] it answers from the simulation's seed; on every other thread it asks the kernel, as
//! libc's does.
//!
//! Every draw comes from a stream keyed by the seed, the purpose and the *cell* (the part of a
//! simulation that is running), so that leaving out a cell changes nothing in the others.

#![allow(unsafe_code)]

mod libc_symbols;
mod stream;
mod thread;

pub use stream::Entropy;
pub use thread::{Simulated, enter, enter_cell, fill, is_simulated, stream};
