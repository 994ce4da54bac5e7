//! A server of Konnectivity that reads anything.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    ravelin_fuzz::konnectivity(input);
    ravelin_fuzz::packet(input.to_vec().into());
});
