//! A log as its reader wants it (`ReadLogs` of `staging/src/k8s.io/cri-client/pkg/logs/logs.go`).

use super::{Entry, Log, LogOptions, SharedLog};
use crate::LogStream;
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;
use tokio::sync::watch;

/// About so much is handed out at once.
const PIECE_BYTES: usize = 32 * 1024;

/// A place in a log: the entry that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    file: u64,
    entry: usize,
}

impl Log {
    /// The end as it is now.
    fn end_cursor(&self) -> Cursor {
        let last = self.files.len().saturating_sub(1);
        let entry = self.files.back().map_or(0, |file| file.entries.len());
        Cursor { file: self.first + last as u64, entry }
    }

    /// Where the last `tail` lines of the newest file begin.
    fn tail_cursor(&self, tail: Option<u64>) -> Cursor {
        let end = self.end_cursor();
        let (Some(tail), Some(file)) = (tail, self.files.back()) else { return Cursor { entry: 0, ..end } };
        let mut wanted = tail;
        for (index, _) in file.entries.iter().enumerate().rev() {
            let begins = index == 0 || !file.entries[index - 1].is_partial;
            if wanted == 0 {
                return Cursor { entry: index + 1, ..end };
            }
            if begins {
                wanted -= 1;
                if wanted == 0 {
                    return Cursor { entry: index, ..end };
                }
            }
        }
        Cursor { entry: if tail == 0 { end.entry } else { 0 }, ..end }
    }

    /// The entry at a place, which moves on; `None` where nothing more was written yet.
    fn next(&self, cursor: &mut Cursor) -> Option<&Entry> {
        // Who is so far behind that its file is gone goes on with what is left.
        if cursor.file < self.first {
            *cursor = Cursor { file: self.first, entry: 0 };
        }
        loop {
            let index = usize::try_from(cursor.file - self.first).ok()?;
            let file = self.files.get(index)?;
            if let Some(entry) = file.entries.get(cursor.entry) {
                cursor.entry += 1;
                return Some(entry);
            }
            if index + 1 >= self.files.len() {
                return None;
            }
            *cursor = Cursor { file: cursor.file + 1, entry: 0 };
        }
    }
}

impl SharedLog {
    /// The end as it is now.
    pub(crate) fn end_cursor(&self) -> Cursor {
        self.log().end_cursor()
    }
}

/// Somebody who reads a log.
#[derive(Debug)]
pub(crate) struct LogReader {
    log: Arc<SharedLog>,
    changes: watch::Receiver<()>,
    options: LogOptions,
    cursor: Cursor,
    /// Who does not follow is done here.
    end: Option<Cursor>,
    /// How many bytes may still be handed out.
    remaining: u64,
    /// Does the next entry begin a line?
    begins_line: bool,
}

impl LogReader {
    /// A reader of what the options select.
    pub(crate) fn new(log: &Arc<SharedLog>, options: &LogOptions) -> Self {
        let held = log.log();
        let cursor = held.tail_cursor(options.tail_lines);
        let end = (!options.follow).then(|| held.end_cursor());
        drop(held);
        Self { cursor, end, ..Self::from(log, options, cursor) }
    }

    /// A reader of everything from a place on.
    pub(crate) fn following(log: &Arc<SharedLog>, cursor: Cursor) -> Self {
        Self::from(log, &LogOptions { follow: true, ..LogOptions::default() }, cursor)
    }

    fn from(log: &Arc<SharedLog>, options: &LogOptions, cursor: Cursor) -> Self {
        Self {
            changes: log.changed.subscribe(),
            log: Arc::clone(log),
            options: options.clone(),
            cursor,
            end: None,
            remaining: options.limit_bytes.unwrap_or(u64::MAX),
            begins_line: true,
        }
    }

    /// What is read, as it comes.
    pub(crate) fn stream(self) -> LogStream {
        let pieces = futures_util::stream::unfold(self, |mut reader| async move {
            let piece = reader.next().await?;
            Some((Ok(piece), reader))
        });
        Box::pin(pieces)
    }

    /// The next piece, as soon as there is one; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changes.borrow_and_update();
            let (piece, is_done) = self.piece();
            if !piece.is_empty() {
                return Some(piece);
            }
            if is_done || self.changes.changed().await.is_err() {
                return None;
            }
        }
    }

    /// What can be handed out now, and whether nothing will follow.
    fn piece(&mut self) -> (Bytes, bool) {
        let log = Arc::clone(&self.log);
        let held = log.log();
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES && self.remaining > 0 {
            if self.end.is_some_and(|end| self.cursor >= end) {
                return (piece.freeze(), true);
            }
            let Some(entry) = held.next(&mut self.cursor) else {
                return (piece.freeze(), held.has_ended || self.end.is_some());
            };
            if self.is_wanted(entry) {
                self.put(entry, &mut piece);
            }
        }
        (piece.freeze(), self.remaining == 0)
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        self.options.since.is_none_or(|since| entry.at >= since)
            && self.options.source.is_none_or(|source| entry.source == source)
    }

    fn put(&mut self, entry: &Entry, piece: &mut BytesMut) {
        let before = piece.len();
        if self.options.timestamps && self.begins_line {
            piece.put_slice(format!("{:.9} ", entry.at).as_bytes());
        }
        piece.put_slice(&entry.text);
        if !entry.is_partial {
            piece.put_u8(b'\n');
        }
        self.begins_line = !entry.is_partial;
        let written = (piece.len() - before) as u64;
        let allowed = written.min(self.remaining);
        piece.truncate(before + usize::try_from(allowed).unwrap_or(usize::MAX));
        self.remaining -= allowed;
    }
}
