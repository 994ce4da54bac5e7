//! What a thread's draws come from.

use crate::Entropy;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static SIMULATION: RefCell<Option<State>> = const { RefCell::new(None) };
}

struct State {
    seed: u64,
    cell: String,
    ambient: Entropy,
    /// How many streams of each name this cell has handed out.
    streams: BTreeMap<String, u64>,
}

/// While it lives, this thread's randomness comes from a seed.
#[derive(Debug)]
pub struct Simulated(std::marker::PhantomData<*const ()>);

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATION.with_borrow_mut(|state| *state = None);
    }
}

/// Makes this thread's randomness a function of `seed`. The thread should be a fresh one: what
/// libraries drew on it before, they may have kept.
///
/// # Panics
/// Where this thread is simulated already.
pub fn enter(seed: u64) -> Simulated {
    SIMULATION.with_borrow_mut(|state| {
        assert!(state.is_none(), "one simulation a thread");
        *state = Some(State::new(seed, String::new()));
    });
    Simulated(std::marker::PhantomData)
}

/// Starts a cell: from here on, every draw is keyed by its name too.
///
/// # Panics
/// Where this thread is not simulated.
pub fn enter_cell(name: &str) {
    SIMULATION.with_borrow_mut(|state| {
        let state = state.as_mut().expect("only a simulation has cells");
        *state = State::new(state.seed, name.to_owned());
    });
    // The thread's own generator, which russh draws from, starts again from the cell's stream.
    let reseeded = rand::rng().reseed();
    reseeded.expect("a simulation's randomness never fails");
}

/// Is this thread's randomness seeded? Not any more while the thread is taken down.
pub fn is_simulated() -> bool {
    SIMULATION.try_with(|state| state.borrow().is_some()).unwrap_or(false)
}

/// Fills a buffer from the thread's own stream (the operating system's outside simulations).
pub fn fill(buffer: &mut [u8]) {
    SIMULATION.with_borrow_mut(|state| match state {
        Some(state) => state.ambient.fill(buffer),
        None => crate::libc_symbols::from_kernel(buffer),
    });
}

/// A stream for one purpose. Within a cell, each call with the same name gives the next stream of
/// that name; outside simulations every stream is the operating system's.
pub fn stream(name: &[&str]) -> Entropy {
    SIMULATION.with_borrow_mut(|state| match state {
        Some(state) => {
            let name = name.join("\0");
            let count = state.streams.entry(name.clone()).or_insert(0);
            *count += 1;
            let count = count.to_string();
            Entropy::from_key(key(state.seed, &["stream", &state.cell, &name, &count]))
        }
        None => Entropy::operating_system(),
    })
}

impl State {
    fn new(seed: u64, cell: String) -> Self {
        let ambient = Entropy::from_key(key(seed, &["ambient", &cell]));
        Self { seed, cell, ambient, streams: BTreeMap::new() }
    }
}

fn key(seed: u64, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64) -> ([u8; 16], u64, std::hash::RandomState) {
        std::thread::spawn(move || {
            let _simulated = enter(seed);
            let mut bytes = [0; 16];
            fill(&mut bytes);
            (bytes, stream(&["a"]).number(), std::hash::RandomState::new())
        })
        .join()
        .unwrap()
    }

    fn libc_draw() -> [u8; 16] {
        let mut bytes = [0_u8; 16];
        let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        assert_eq!(n, 16);
        bytes
    }

    #[test]
    fn a_simulations_draws_repeat_from_its_seed() {
        use std::hash::BuildHasher;
        let (a, b) = (draw(1), draw(1));
        assert_eq!((a.0, a.1), (b.0, b.1));
        assert_eq!(a.2.hash_one(7), b.2.hash_one(7), "the seeds of hash maps repeat too");
        assert_ne!(draw(2).0, a.0);
    }

    #[test]
    fn libc_answers_from_the_seed_only_inside() {
        let inside = |seed| {
            std::thread::spawn(move || {
                let _simulated = enter(seed);
                libc_draw()
            })
            .join()
            .unwrap()
        };
        assert_eq!(inside(1), inside(1));
        assert_ne!(libc_draw(), libc_draw(), "outside it is the operating system's");
        drop(enter(1));
        assert_ne!(libc_draw(), inside(1), "and again after a simulation has ended");
    }

    #[test]
    fn leaving_out_a_cell_changes_no_other() {
        let last = |cells: &'static [&'static str]| {
            std::thread::spawn(move || {
                let _simulated = enter(7);
                for cell in cells {
                    enter_cell(cell);
                    let _ = stream(&["x"]).number();
                }
                (stream(&["x"]).number(), stream(&["x"]).number())
            })
            .join()
            .unwrap()
        };
        let alone = last(&["b"]);
        assert_eq!(alone, last(&["a", "b"]));
        assert_ne!(alone.0, alone.1, "the same name gives a new stream each time");
    }
}
