//! A SPDY server that reads anything.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ravelin_fuzz::spdy(input));
