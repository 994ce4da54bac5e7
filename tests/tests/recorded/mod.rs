//! What a real kube-apiserver answered, row by row, beside what ours answers over TLS.
//!
//! The rows are in `tests/recorded`, one file a section; its README says how they are written.
//! A row that we answer differently on purpose says why, and fails here once we no longer do.

mod compare;
mod kubelets;
mod play;
mod rig;
mod row;
mod text;

use play::{Played, play};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded")
}

/// Asks the rows of one file. Fewer than `floor` of them are a mistake of the file's.
fn section(file: &str, floor: usize) {
    let section = row::read(&folder().join(file));
    let unfounded = |row: &&row::Row| !row.setup && row.source.is_none();
    if let Some(row) = section.rows.iter().find(unfounded).filter(|_| file.starts_with("more")) {
        panic!("{file}: nobody recorded {:?}, and no source says so", row.case);
    }
    let played = play(&section, &folder());
    assert!(played.rows >= floor, "{file} has {} rows, there were {floor}", played.rows);
    agrees(&format!("{file} ({})", section.title), &played);
}

fn agrees(file: &str, played: &Played) {
    let (rows, wrong) = (played.rows, played.wrong.len());
    println!("{file}: {rows} rows, {} differ on purpose, {wrong} disagree", played.differ);
    assert!(wrong == 0, "{file}: {wrong} of {rows} rows disagree\n{}", played.wrong.join("\n"));
}

#[test]
fn strangers_get_no_further_than_recorded() {
    section("a.yaml", 12);
}

#[test]
fn strangers_are_unauthorized_where_anonymous_is_off() {
    section("a-anonymous-off.yaml", 15);
}

#[test]
fn bad_bearer_tokens_are_answered_as_recorded() {
    section("b.yaml", 13);
}

#[test]
fn bad_bearer_tokens_are_unauthorized_where_anonymous_is_off() {
    section("b-anonymous-off.yaml", 13);
}

#[test]
fn client_certificates_are_judged_as_recorded() {
    section("c.yaml", 13);
}

#[test]
fn nodes_are_held_to_their_own_as_recorded() {
    section("d.yaml", 48);
}

#[test]
fn service_account_tokens_are_judged_as_recorded() {
    section("e.yaml", 26);
}

#[test]
fn signing_requests_are_taken_as_recorded() {
    section("f.yaml", 21);
}

#[test]
fn signing_requests_are_signed_as_recorded() {
    section("f2.yaml", 3);
}

#[test]
fn kubelets_that_cannot_be_reached_are_told_of_as_recorded() {
    section("g.yaml", 27);
}

#[test]
fn impersonation_is_answered_as_recorded() {
    section("i.yaml", 18);
}

#[test]
fn reviews_are_answered_as_recorded() {
    section("j.yaml", 14);
}

#[test]
fn malformed_requests_are_answered_as_recorded() {
    section("k.yaml", 55);
}

#[test]
fn headers_are_as_recorded() {
    section("m.yaml", 14);
}

#[test]
fn rights_are_told_as_in_the_sources() {
    section("more.yaml", 56);
}

#[test]
fn tokens_are_judged_as_in_the_sources() {
    section("more-tokens.yaml", 19);
}

#[test]
fn nodes_are_held_to_their_own_as_in_the_sources() {
    section("more-nodes.yaml", 85);
}

#[test]
fn impersonation_is_answered_as_in_the_sources() {
    section("more-impersonation.yaml", 21);
}

#[test]
fn signing_requests_are_taken_as_in_the_sources() {
    section("more-csr.yaml", 21);
}

#[test]
fn objects_are_served_as_in_the_sources() {
    section("more-objects.yaml", 66);
}

#[test]
fn requests_are_judged_as_in_the_sources() {
    section("more-requests.yaml", 59);
}

#[test]
fn identities_are_judged_as_in_the_sources() {
    section("more-identities.yaml", 28);
}

/// More rows, where somebody has some: `RAVELIN_RECORDED` names a file or a folder of them.
#[test]
fn rows_from_outside_are_answered_as_recorded() {
    #[allow(clippy::disallowed_methods, reason = "which rows to try is decided outside")]
    let Some(named) = std::env::var_os("RAVELIN_RECORDED") else { return };
    let named = PathBuf::from(named);
    let mut files = vec![named.clone()];
    if named.is_dir() {
        let entries = std::fs::read_dir(&named).expect("the folder can be read");
        files = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
        files.retain(|file| file.file_name().is_some_and(|name| name != "fixture.yaml"));
        files.sort();
    }
    assert!(!files.is_empty(), "{} has no rows", named.display());
    let mut wrong = Vec::new();
    for file in files {
        let (name, played) = (file.display().to_string(), play(&row::read(&file), &folder()));
        println!("{name}: {} rows, {} disagree", played.rows, played.wrong.len());
        wrong.extend(played.wrong.into_iter().map(|row| format!("{name}\n{row}")));
    }
    assert!(wrong.is_empty(), "{} rows disagree\n{}", wrong.len(), wrong.join("\n"));
}
