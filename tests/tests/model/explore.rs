//! Temporary: all disagreements of many cases, grouped.
use super::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeMap;
use std::sync::Mutex;

#[test]
fn explore() {
    #[allow(clippy::disallowed_methods)]
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (n, who, seed) = (number("N", 40), number("WHO", 0), number("SEED", 1));
    let attackers: &'static [Attacker] = match who {
        0 => &Attacker::ALL[..2],
        1 => &Attacker::ALL[2..3],
        2 => &Attacker::ALL[3..],
        _ => &Attacker::ALL,
    };
    let ways: &'static [Path] = if number("DIRECT", 0) == 1 {
        &Path::ALL[13..]
    } else if who == 0 {
        &Path::ALL[..13]
    } else {
        &Path::ALL
    };
    let all: Mutex<BTreeMap<String, (usize, String)>> = Mutex::default();
    std::thread::scope(|scope| {
        for part in 0..2_u8 {
            let all = &all;
            scope.spawn(move || {
                let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[part + 2 * seed as u8; 32]);
                let mut runner = TestRunner::new_with_rng(Config::default(), rng);
                let (rules, exercised) = (Rules::read(), Exercised::default());
                let any = case::calm(attackers, ways);
                for _ in 0..n / 2 {
                    let case = any.new_tree(&mut runner).unwrap().current();
                    for line in compare::disagreements(&rules, &case, &exercised) {
                        let mut words = line.lines().next().unwrap_or_default().to_owned();
                        words = words.replace(char::is_numeric, "");
                        let key = words;
                        let mut all = all.lock().unwrap();
                        let entry = all.entry(key).or_insert((0, format!("{line}\n{case:?}")));
                        entry.0 += 1;
                    }
                }
                if part == 0 {
                    println!("{exercised}");
                }
            });
        }
    });
    for (key, (count, first)) in all.lock().unwrap().iter() {
        println!("=== {count} x {key}\n{first}");
    }
}
