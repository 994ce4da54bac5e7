//! Files into an archive.

use super::Asked;
use super::header::{BLOCK_BYTES, Header, Kind, padding};
use crate::files::{FileError, absolute};
use crate::process::{Output, Process, Sink};
use std::io;

/// An archive is padded to this size (20 blocks, as every tar does).
const RECORD_BYTES: u64 = 20 * BLOCK_BYTES as u64;

/// How deeply directories are followed.
const MAX_DEPTH: usize = 100;

/// About so much is written at once.
const PIECE_BYTES: usize = 32 * 1024;

struct Archive<'a> {
    process: &'a Process,
    output: Output,
    is_verbose: bool,
    written: u64,
    status: i32,
}

pub(super) async fn create(process: &Process, asked: &Asked) -> io::Result<i32> {
    if asked.names.is_empty() {
        return process.complain("tar: empty archive").await;
    }
    let output = match asked.archive.as_str() {
        "-" => process.streams.stdout.clone(),
        name => match process.around.files.open(&process.path(name), false) {
            Ok(file) => Output::new(Sink::File(file)),
            Err(error) => return process.complain(format!("tar: can't open '{name}': {error}")).await,
        },
    };
    let is_verbose = asked.is_verbose;
    let mut archive = Archive { process, output, is_verbose, written: 0, status: 0 };
    if asked.names.iter().any(|name| name.starts_with('/')) {
        let text = "tar: removing leading '/' from member names\n";
        process.streams.stderr.write(text.as_bytes()).await?;
    }
    for name in &asked.names {
        let path = absolute(&asked.directory, name);
        archive.add(&path, name.trim_start_matches('/')).await?;
    }
    archive.end().await
}

impl Archive<'_> {
    /// Adds what is at a path, and whatever is below it.
    async fn add(&mut self, path: &str, name: &str) -> io::Result<()> {
        let mut waiting = vec![(path.to_owned(), name.trim_end_matches('/').to_owned(), 0)];
        while let Some((path, name, depth)) = waiting.pop() {
            let files = &self.process.around.files;
            let Some(meta) = files.meta(&path).filter(|_| depth <= MAX_DEPTH) else {
                self.status = self.process.complain(format!("tar: {path}: {}", FileError::Missing)).await?;
                continue;
            };
            let modified = meta.modified.as_second();
            if meta.is_directory {
                let within = files.list(&path);
                if !name.is_empty() {
                    let header =
                        Header { name: format!("{name}/"), kind: Kind::Directory, bytes: 0, modified };
                    self.write(&header, &[]).await?;
                }
                for one in within.into_iter().rev() {
                    let name = if name.is_empty() { one.clone() } else { format!("{name}/{one}") };
                    waiting.push((format!("{}/{one}", path.trim_end_matches('/')), name, depth + 1));
                }
                continue;
            }
            match files.read(&path) {
                Ok(content) => {
                    let header = Header { name, kind: Kind::File, bytes: content.len() as u64, modified };
                    self.write(&header, &content).await?;
                }
                Err(error) => {
                    self.status = self.process.complain(format!("tar: {path}: {error}")).await?;
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, header: &Header, content: &[u8]) -> io::Result<()> {
        if self.is_verbose {
            self.process.streams.stderr.write(format!("{}\n", header.name).as_bytes()).await?;
        }
        self.put(&header.blocks()).await?;
        for piece in content.chunks(PIECE_BYTES) {
            self.put(piece).await?;
        }
        self.put(&vec![0; padding(header.bytes)]).await
    }

    async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.output.write(bytes).await
    }

    /// Two empty blocks, and what is missing of a record.
    async fn end(&mut self) -> io::Result<i32> {
        self.put(&[0; 2 * BLOCK_BYTES]).await?;
        let missing = (RECORD_BYTES - self.written % RECORD_BYTES) % RECORD_BYTES;
        self.put(&vec![0; usize::try_from(missing).unwrap_or(0)]).await?;
        Ok(self.status)
    }
}
