use super::*;

#[test]
fn try_all() {
    let all = recorded().unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let runnable: Vec<&Scenario> = all.iter().filter(|s| s.waits_for.is_none()).collect();
    for (scenario, outcome) in runnable.iter().zip(run(&runnable, 42)) {
        match outcome {
            Ok(outcome) => println!("{}", explained(scenario, &outcome)),
            Err(why) => println!("{}: BUG {why}", scenario.name),
        }
    }
}
