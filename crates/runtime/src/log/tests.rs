//! What readers of a log find.

use super::*;
use futures_util::FutureExt;
use std::sync::Arc;

fn log(lines: &str) -> Arc<SharedLog> {
    let log = Arc::new(SharedLog::default());
    log.write_lines(Timestamp::UNIX_EPOCH, lines);
    log
}

/// What can be read at once.
fn read(reader: &mut LogReader) -> String {
    let mut all = Vec::new();
    while let Some(Some(piece)) = reader.next().now_or_never() {
        all.extend_from_slice(&piece);
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn options_select_the_last_lines_then_cut_bytes() {
    let log = log("one\ntwo\nthree");
    let read = |tail_lines, limit_bytes, timestamps| {
        let options = LogOptions { limit_bytes, tail_lines, timestamps, ..LogOptions::default() };
        read(&mut LogReader::new(&log, &options))
    };
    assert_eq!(read(None, None, false), "one\ntwo\nthree\n");
    assert_eq!(read(Some(2), None, false), "two\nthree\n");
    assert_eq!(read(Some(2), Some(6), false), "two\nth");
    assert_eq!(read(Some(0), None, false), "");
    assert_eq!(read(Some(9), None, false), "one\ntwo\nthree\n");
    assert_eq!(read(Some(1), None, true), "1970-01-01T00:00:00.000000000Z three\n");
}

#[test]
fn what_is_older_or_of_the_other_output_is_left_out() {
    let log = Arc::new(SharedLog::default());
    for (second, source, text) in
        [(1, LogSource::Stdout, "a"), (2, LogSource::Stderr, "b"), (3, LogSource::Stdout, "c")]
    {
        let at = Timestamp::new(second, 0).unwrap();
        log.write(Entry { at, source, text: Bytes::from_static(text.as_bytes()), is_partial: false });
    }
    let read = |since: Option<i64>, source| {
        let since = since.map(|second| Timestamp::new(second, 0).unwrap());
        read(&mut LogReader::new(&log, &LogOptions { since, source, ..LogOptions::default() }))
    };
    assert_eq!(read(Some(2), None), "b\nc\n");
    assert_eq!(read(None, Some(LogSource::Stderr)), "b\n");
    assert_eq!(read(Some(2), Some(LogSource::Stdout)), "c\n");
    assert_eq!(read(Some(4), None), "");
}

#[test]
fn who_begins_to_read_finds_the_newest_file_and_who_follows_all_of_them() {
    let log = log("old");
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let mut follower = LogReader::new(&log, &options);
    assert_eq!(read(&mut follower), "old\n");
    let mut expected = 0;
    for round in 0..3 {
        let long = format!("{round}").repeat(MAX_LOG_BYTES / 2);
        log.write_lines(Timestamp::UNIX_EPOCH, &long);
        log.write_lines(Timestamp::UNIX_EPOCH, "short");
        expected += long.len() + 1 + 6;
    }
    let followed = read(&mut follower);
    assert_eq!(followed.len(), expected, "nothing twice, nothing lost");
    assert_eq!(followed.matches("short\n").count(), 3);
    let newest = read(&mut LogReader::new(&log, &LogOptions::default()));
    assert_eq!(newest, format!("{}\nshort\n", "2".repeat(MAX_LOG_BYTES / 2)), "rotated");
    assert_eq!(log.lines().len(), 7, "an observer finds all that is held");
}

#[test]
fn a_follower_sees_lines_as_they_come_and_the_end() {
    let log = log("one");
    let mut follower = LogReader::new(&log, &LogOptions { follow: true, ..LogOptions::default() });
    let mut reader = LogReader::new(&log, &LogOptions::default());
    log.write_lines(Timestamp::UNIX_EPOCH, "two");
    assert_eq!(read(&mut reader), "one\n", "what comes later is for followers");
    assert_eq!(read(&mut follower), "one\ntwo\n");
    assert!(follower.next().now_or_never().is_none(), "it waits");
    log.write_lines(Timestamp::UNIX_EPOCH, "three");
    log.end();
    assert_eq!(read(&mut follower), "three\n");
    assert_eq!(follower.next().now_or_never(), Some(None));
}

#[test]
fn a_line_that_is_too_long_is_kept_in_parts_and_read_as_one() {
    let log = Arc::new(SharedLog::default());
    let mut writer = LineWriter::new(Arc::clone(&log), LogSource::Stdout);
    let long = "x".repeat(40_000);
    writer.write(Timestamp::UNIX_EPOCH, format!("a\n{long}").as_bytes());
    writer.write(Timestamp::UNIX_EPOCH, b"\nbegun");
    writer.end(Timestamp::UNIX_EPOCH);
    let read = |options: LogOptions| read(&mut LogReader::new(&log, &options));
    assert_eq!(read(LogOptions::default()), format!("a\n{long}\nbegun\n"));
    let two = LogOptions { tail_lines: Some(2), timestamps: true, ..LogOptions::default() };
    assert_eq!(read(two).matches("1970").count(), 2, "a time for each line, not for its parts");
    assert_eq!(log.lines().len(), 3);
}

#[test]
fn the_oldest_files_go() {
    let log = log("old");
    for _ in 0..=MAX_LOG_FILES {
        log.write_lines(Timestamp::UNIX_EPOCH, &"x".repeat(MAX_LOG_BYTES - 1));
    }
    assert_eq!(log.lines().len(), MAX_LOG_FILES);
}

#[test]
fn a_log_of_empty_lines_is_rotated_as_well() {
    let log = log("");
    for _ in 0..300_000 {
        log.write_lines(Timestamp::UNIX_EPOCH, "\n");
    }
    assert_eq!(log.log().files.len(), 2);
}
