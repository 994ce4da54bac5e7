//! A tunnel by HTTP `CONNECT`, written and read by hand: what follows the answer is no longer HTTP.

use bytes::BytesMut;
use ravelin_host::BoxedStream;
use ravelin_transport::TlsError;
use ravelin_transport::egress::EgressError;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest head of an answer (`http.DefaultMaxHeaderBytes`).
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// Asks the frontend `proxy` for a connection to `target`. The stream is the connection then.
pub(in super::super) async fn connect(
    mut stream: BoxedStream,
    target: &str,
    proxy: &str,
) -> Result<BoxedStream, EgressError> {
    let failed = |why: String| {
        format!("reading HTTP response from CONNECT to {target} via proxy {proxy} failed: {why}")
    };
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let written = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await
    };
    written.await.map_err(|error| broken(error, failed))?;
    let (head, beyond) = head(&mut stream).await.map_err(|error| broken(error, failed))?;
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let (Some((version, status)), true) = (line.split_once(' '), line.starts_with("HTTP/1.")) else {
        return Err(EgressError::Unavailable(failed(format!("malformed HTTP response {line:?}"))));
    };
    debug_assert!(version.starts_with("HTTP/1."));
    let code = status.split(' ').next().unwrap_or_default();
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EgressError::Unavailable(failed(format!("malformed HTTP status code {code:?}"))));
    }
    if code != "200" {
        let status = status.escape_default();
        return Err(EgressError::Unavailable(format!(
            "proxy error from {proxy} while dialing {target}, code {code}: {status}"
        )));
    }
    if beyond > 0 {
        return Err(EgressError::Refused(format!(
            "unexpected {beyond} bytes of buffered data from CONNECT proxy {proxy:?}"
        )));
    }
    Ok(stream)
}

/// The head of an answer, and how many bytes came after it.
async fn head(stream: &mut BoxedStream) -> io::Result<(Vec<u8>, usize)> {
    let mut read = BytesMut::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = read.split_to(end + 4);
            return Ok((head.to_vec(), read.len()));
        }
        if read.len() >= MAX_HEAD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is too long"));
        }
        read.reserve(1024);
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"));
        }
    }
}

/// A TLS server may refuse us only after its handshake: then it is known by its alert.
fn broken(error: io::Error, failed: impl Fn(String) -> String) -> EgressError {
    let text = error.to_string();
    match TlsError::from(error) {
        TlsError::PeerRefusedUs { alert } => {
            EgressError::Refused(failed(format!("remote error: tls: {alert}")))
        }
        _ => EgressError::Unavailable(failed(text)),
    }
}
