//! A terminal, as Linux has them in their usual mode: it echoes what is typed, collects it into lines,
//! lets the last characters be taken back, and turns Ctrl-C into an interrupt.

use super::input::{Input, PIECE_BYTES};
use super::output::Output;
use bytes::{Bytes, BytesMut};
use ravelin_stream::TerminalSize;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// The longest line that can be typed (`N_TTY_BUF_SIZE`).
const MAX_TYPED_BYTES: usize = 4096;

/// So many lines may be typed ahead.
const MAX_LINES_AHEAD: usize = 64;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const CTRL_W: u8 = 23;
const DELETE: u8 = 127;

/// One terminal.
pub(crate) struct Terminal {
    size: Mutex<TerminalSize>,
    /// What is typed is shown here.
    screen: Output,
    /// Changes with each interrupt.
    interrupts: watch::Sender<u64>,
    lines: mpsc::Sender<Bytes>,
}

impl Terminal {
    /// A terminal that shows what it is told on `screen`, and where its lines can be read.
    pub(crate) fn new(screen: Output) -> (Self, mpsc::Receiver<Bytes>) {
        let (lines, typed) = mpsc::channel(MAX_LINES_AHEAD);
        let size = Mutex::new(TerminalSize { width: 0, height: 0 });
        (Self { size, screen, interrupts: watch::Sender::new(0), lines }, typed)
    }

    /// Its size; nothing by nothing until somebody says.
    pub(crate) fn size(&self) -> TerminalSize {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn resize(&self, size: TerminalSize) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }

    /// Follows what somebody says of its size, for ever.
    pub(crate) async fn follow_sizes(&self, sizes: Option<mpsc::Receiver<TerminalSize>>) {
        if let Some(mut sizes) = sizes {
            while let Some(size) = sizes.recv().await {
                self.resize(size);
            }
        }
        std::future::pending().await
    }

    /// Waits for the next Ctrl-C.
    pub(crate) async fn interrupted(&self) {
        let mut interrupts = self.interrupts.subscribe();
        interrupts.borrow_and_update();
        // The sender is in self: it does not go away.
        let _ = interrupts.changed().await;
    }

    /// Takes what is typed, until it ends.
    pub(crate) async fn typed(&self, keys: &Input) {
        let mut line = BytesMut::new();
        loop {
            let Ok(keys) = keys.read(PIECE_BYTES).await else { return };
            if keys.is_empty() {
                return;
            }
            for key in keys {
                self.key(key, &mut line).await;
            }
        }
    }

    /// Whoever typed has gone: who reads finds the end again and again.
    pub(crate) async fn hang_up(&self) {
        while self.lines.send(Bytes::new()).await.is_ok() {}
    }

    async fn key(&self, key: u8, line: &mut BytesMut) {
        match key {
            b'\r' | b'\n' => {
                self.show(b"\n").await;
                line.extend_from_slice(b"\n");
                self.give(line).await;
            }
            CTRL_C => {
                self.show(b"^C\n").await;
                line.clear();
                self.interrupts.send_modify(|count| *count += 1);
            }
            CTRL_D if line.is_empty() => {
                let _ = self.lines.send(Bytes::new()).await;
            }
            CTRL_D => self.give(line).await,
            BACKSPACE | DELETE => self.take_back(line, 1).await,
            CTRL_U => self.take_back(line, usize::MAX).await,
            CTRL_W => {
                let word = line.trim_ascii_end().iter().rev().take_while(|key| **key != b' ').count();
                let blanks = line.len() - line.trim_ascii_end().len();
                self.take_back(line, word + blanks).await;
            }
            _ if line.len() >= MAX_TYPED_BYTES => self.show(&[7]).await,
            key if key < b' ' && key != b'\t' => {
                line.extend_from_slice(&[key]);
                self.show(&[b'^', key + b'@']).await;
            }
            key => {
                line.extend_from_slice(&[key]);
                self.show(&[key]).await;
            }
        }
    }

    async fn take_back(&self, line: &mut BytesMut, most: usize) {
        for _ in 0..most {
            // A character is one byte that begins it, and others that go on.
            while line.last().is_some_and(|byte| byte & 0xc0 == 0x80) {
                line.truncate(line.len() - 1);
            }
            let Some(end) = line.len().checked_sub(1) else { return };
            line.truncate(end);
            self.show(b"\x08 \x08").await;
        }
    }

    async fn give(&self, line: &mut BytesMut) {
        // Without a reader nobody misses it.
        let _ = self.lines.send(line.split().freeze()).await;
    }

    async fn show(&self, text: &[u8]) {
        let _ = self.screen.write(text).await;
    }
}
