//! An archive into files. Members of any name stay below the root; links and devices are left out.

use super::header::{BLOCK_BYTES, Header, Kind, padding};
use super::{Asked, exactly};
use crate::files::{FileError, FileWriter, absolute};
use crate::process::{Input, Process};
use std::io;

/// The longest extended header.
const MAX_EXTENDED_BYTES: u64 = 64 * 1024;

/// About so much is read at once.
const PIECE_BYTES: u64 = 32 * 1024;

pub(super) async fn extract(process: &Process, asked: &Asked, archive: &Input) -> io::Result<i32> {
    let mut status = 0;
    let (mut long_name, mut long_size) = (None, None);
    loop {
        let Some(block) = exactly(archive, BLOCK_BYTES).await? else {
            return process.complain("tar: short read").await;
        };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(status);
        }
        let Some(mut header) = Header::parse(&block) else {
            return process.complain("tar: invalid tar header checksum").await;
        };
        if matches!(header.kind, Kind::LongName | Kind::Extended | Kind::Global) {
            if header.bytes > MAX_EXTENDED_BYTES {
                return process.complain("tar: extended header too long").await;
            }
            let count = usize::try_from(header.bytes).unwrap_or(0) + padding(header.bytes);
            let Some(mut content) = exactly(archive, count).await? else {
                return process.complain("tar: short read").await;
            };
            content.truncate(usize::try_from(header.bytes).unwrap_or(0));
            match header.kind {
                Kind::LongName => {
                    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
                    long_name = Some(String::from_utf8_lossy(&content[..end]).into_owned());
                }
                Kind::Extended => {
                    long_name = extended(&content, "path").or(long_name);
                    long_size = extended(&content, "size").and_then(|size| size.parse().ok());
                }
                _ => {}
            }
            continue;
        }
        header.name = long_name.take().unwrap_or(header.name);
        header.bytes = long_size.take().unwrap_or(header.bytes);
        if asked.action == 't' {
            process.print(format!("{}\n", header.name)).await?;
            skip(archive, header.bytes, None).await?.ok();
            continue;
        }
        status |= member(process, (asked, archive), &header).await?;
    }
}

/// The value of a record of an extended header: `LENGTH KEY=VALUE\n`, again and again.
fn extended(mut content: &[u8], wanted: &str) -> Option<String> {
    let mut found = None;
    while !content.is_empty() {
        let blank = content.iter().position(|byte| *byte == b' ')?;
        let length: usize = str::from_utf8(&content[..blank]).ok()?.parse().ok()?;
        let record = content.get(blank + 1..length.checked_sub(1)?)?;
        let record = String::from_utf8_lossy(record);
        if let Some((key, value)) = record.split_once('=')
            && key == wanted
        {
            found = Some(value.to_owned());
        }
        content = content.get(length..)?;
    }
    found
}

/// Brings one member out; a failure is complained of, and the rest of the archive goes on.
async fn member(process: &Process, (asked, archive): (&Asked, &Input), header: &Header) -> io::Result<i32> {
    if asked.is_verbose {
        process.print(format!("{}\n", header.name)).await?;
    }
    let path = absolute(&asked.directory, header.name.trim_start_matches('/'));
    let files = &process.around.files;
    let outcome = match header.kind {
        Kind::Directory => {
            let made = files.make_directory(&path, true);
            skip(archive, header.bytes, None).await?.and(made)
        }
        Kind::File => {
            let above =
                path.rsplit_once('/').map_or("/", |(above, _)| if above.is_empty() { "/" } else { above });
            let opened = files.make_directory(above, true).and_then(|()| files.open(&path, false));
            match opened {
                Ok(file) => skip(archive, header.bytes, Some(&file)).await?,
                Err(error) => skip(archive, header.bytes, None).await?.and(Err(error)),
            }
        }
        _ => {
            skip(archive, header.bytes, None).await?.ok();
            return process.complain(format!("tar: {}: not a file or directory, skipped", header.name)).await;
        }
    };
    match outcome {
        Ok(()) => Ok(0),
        Err(error) => process.complain(format!("tar: can't open '{}': {error}", header.name)).await,
    }
}

/// Reads a member's content to its end, into a file where there is one.
async fn skip(archive: &Input, bytes: u64, into: Option<&FileWriter>) -> io::Result<Result<(), FileError>> {
    let mut left = bytes;
    let mut outcome = Ok(());
    while left > 0 {
        let piece = archive.read(usize::try_from(left.min(PIECE_BYTES)).unwrap_or(0)).await?;
        if piece.is_empty() {
            return Err(io::Error::other("short read"));
        }
        left -= piece.len() as u64;
        if let (Ok(()), Some(file)) = (&outcome, into) {
            outcome = file.write(&piece);
        }
    }
    if exactly(archive, padding(bytes)).await?.is_none() {
        return Err(io::Error::other("short read"));
    }
    Ok(outcome)
}
