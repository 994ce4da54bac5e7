//! The command that runs the same simulation again.

use crate::args::{Simulate, Untrusted};
use clap::ValueEnum;
use ravelin_report::Repeat;

/// The command of these options under this seed: all that decides what happens, and nothing that
/// only decides how it is shown.
pub(crate) fn command(options: &Simulate, seed: u64) -> Repeat {
    let mut words = vec!["ravelin".to_owned(), "simulate".to_owned()];
    words.extend(options.inputs.iter().map(|input| input.display().to_string()));
    let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    add("--seed", &seed.to_string());
    if options.nodes != 3 {
        add("--nodes", &options.nodes.to_string());
    }
    if options.untrusted != Untrusted::All {
        let value = options.untrusted.to_possible_value();
        add("--untrusted", value.as_ref().map_or("all", |value| value.get_name()));
    }
    if let Some(version) = &options.kubernetes_version {
        add("--kubernetes-version", version);
    }
    Repeat::new(words)
}

/// The same, with the paths and attackers that were asked for.
pub(crate) fn narrowed(options: &Simulate, seed: u64) -> String {
    let mut more: Vec<&str> = Vec::new();
    for path in &options.path {
        more.extend(["--path", path]);
    }
    for attacker in &options.attacker {
        more.extend(["--attacker", attacker]);
    }
    more.extend(options.twins.then_some("--twins"));
    more.extend(options.fixes.then_some("--fixes"));
    command(options, seed).with(&more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn options(line: &[&str]) -> Simulate {
        let words = [&["ravelin", "simulate"], line].concat();
        match Arguments::try_parse_from(words).expect("well formed").command {
            Command::Simulate(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_decides_the_run_is_in_the_command_and_what_shows_it_is_not() {
        let line =
            ["a b.yaml", "--nodes", "5", "--untrusted", "fabric", "--format", "json", "--path", "direct-*"];
        let line =
            [&line[..], &["--attacker", "outsider", "--twins", "--kubernetes-version", "1.20"]].concat();
        assert_eq!(
            narrowed(&options(&line), 7),
            "ravelin simulate 'a b.yaml' --seed 7 --nodes 5 --untrusted fabric --kubernetes-version 1.20 \
             --path 'direct-*' --attacker outsider --twins"
        );
    }

    /// The command, given back to the program, must mean the same.
    #[test]
    fn the_command_is_understood_by_the_program_that_wrote_it() {
        let given = options(&["x.yaml", "--nodes", "9", "--untrusted", "access", "--path", "node-bootstrap"]);
        let command = narrowed(&given, 3);
        let words: Vec<&str> = command.split(' ').skip(2).collect();
        let read = options(&words);
        assert_eq!((read.inputs, read.nodes, read.seed), (given.inputs, given.nodes, 3));
        assert_eq!((read.untrusted, read.path), (given.untrusted, given.path));
    }
}
