//! Bytes that belong to one connection: whoever hears others' bytes, or misses some, knows.

use ravelin_host::{BoxedStream, Connection, Endpoint, HostRef, Task};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where the servers of [`serve`] listen.
pub const PORT: u16 = 7_001;

const CHUNK: usize = 3_000;

/// What was heard that nobody had said to whom heard it.
#[derive(Clone, Default)]
pub struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    fn add(&self, what: String) {
        self.0.lock().expect("nobody panics with it").push(what);
    }

    /// All of them.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

/// The bytes of a connection from a position on, one way. A server answers with those of `!key`.
fn expected(key: u64, position: u64, count: usize) -> Vec<u8> {
    (position..).take(count).map(|at| (mixed(key ^ mixed(at)) >> 32).to_le_bytes()[0]).collect()
}

/// Every bit of it depends on every bit of the number (SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A server that says as much as it hears.
pub async fn serve(host: &HostRef, complaints: Complaints) -> io::Result<Task> {
    let listener = host.listen(&Endpoint::tcp(Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let spawner = HostRef::clone(host);
    let accept = async move {
        while let Ok(connection) = listener.accept().await {
            let complaints = complaints.clone();
            let answer = async move {
                // A connection that breaks off is the weather's.
                let _ = answer(connection, &complaints).await;
            };
            spawner.spawn("pattern", Box::pin(answer)).detach();
        }
    };
    Ok(host.spawn("pattern", Box::pin(accept)))
}

async fn answer(mut connection: Connection, complaints: &Complaints) -> io::Result<()> {
    let stream = &mut connection.stream;
    let key = stream.read_u64().await?;
    let (mut buffer, mut position) = (vec![0; CHUNK], 0_u64);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        if buffer[..count] != expected(key, position, count) {
            complaints.add(format!("the server of {key:x} heard something else at {position}"));
        }
        stream.write_all(&expected(!key, position, count)).await?;
        position += count as u64;
    }
}

/// How a client says something.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// What no other connection has.
    pub key: u64,
    /// How many chunks.
    pub chunks: u32,
    /// The pause after each.
    pub pause: Duration,
}

/// Talks with a server over a new connection, to the end.
///
/// # Errors
/// Where the connection breaks off; what was heard is checked all the same.
pub async fn talk(stream: BoxedStream, talk: Talk, complaints: &Complaints) -> io::Result<()> {
    let mut stream = stream;
    stream.write_u64(talk.key).await?;
    let mut position = 0_u64;
    for _ in 0..talk.chunks {
        stream.write_all(&expected(talk.key, position, CHUNK)).await?;
        let mut heard = vec![0; CHUNK];
        stream.read_exact(&mut heard).await?;
        if heard != expected(!talk.key, position, CHUNK) {
            complaints.add(format!("the client of {:x} heard something else at {position}", talk.key));
        }
        position += CHUNK as u64;
        tokio::time::sleep(talk.pause).await;
    }
    stream.shutdown().await?;
    match stream.read_to_end(&mut Vec::new()).await? {
        0 => Ok(()),
        count => {
            complaints.add(format!("the client of {:x} heard {count} bytes after all", talk.key));
            Ok(())
        }
    }
}
