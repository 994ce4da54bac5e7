//! Arbitrary input never panics.

use proptest::prelude::*;

use super::{file, kubeadm_default, legacy};
use crate::{ClusterConfig, Component, catalogue};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, the answer is a configuration or at least one error.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), name in "[a-z.]{0,12}") {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(errors) = ClusterConfig::read(&[file(&name, &text)], None) {
            prop_assert!(!errors.is_empty());
        }
    }

    /// The same, close to real files: one line of a sample replaced by pieces of the languages that are read.
    #[test]
    fn damaged_samples_never_panic(at in 0_usize..60, which in 0_usize..7, piece in "[-a-z:${}\\[\\]\"'=,/#&*| \\\\]{0,24}") {
        let mut files: Vec<_> = kubeadm_default().into_iter().chain(legacy()).collect();
        let mut lines: Vec<&str> = files[which].text.lines().collect();
        let at = at % lines.len();
        lines[at] = &piece;
        let text = lines.join("\n");
        files[which].text = text;
        if let Err(errors) = ClusterConfig::read(&files[which..=which], None) {
            prop_assert!(!errors.is_empty());
        }
    }
}

#[test]
fn reading_twice_gives_the_same_report() {
    let shown = || {
        serde_json::to_string(&ClusterConfig::read(&kubeadm_default(), None).expect("a sample"))
            .expect("serializable")
    };
    assert_eq!(shown(), shown());
}

#[test]
fn every_table_names_each_option_once_and_in_a_possible_range() {
    for component in Component::PROGRAMS {
        let mut names: Vec<_> = catalogue::flags(component)
            .inspect(|k| assert!(k.first <= k.last, "{}", k.name))
            .map(|k| k.name)
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{component} has a flag twice");
        assert!(all > 30, "{component} has its flags");
    }
}

#[test]
fn what_is_modelled_in_a_file_is_a_flag_too() {
    for (rows, component) in
        [(catalogue::KUBELET_KEYS, Component::Kubelet), (catalogue::PROXY_KEYS, Component::Proxy)]
    {
        for row in rows {
            if let catalogue::Meaning::Flag(flag) = row.1 {
                let known =
                    catalogue::flag(component, flag).is_some() || flag == "node-lease-duration-seconds";
                assert!(known, "{} means --{flag}", row.0);
            }
        }
    }
}
