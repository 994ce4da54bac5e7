//! How a command's end is told to its caller, and read by them.

use super::StreamError;
use super::driver::CLOSE_TIMEOUT;
use super::half::{BoxedReader, BoxedWriter};
use async_trait::async_trait;
use ravelin_stream::channel::{MAX_STATUS_BYTES, Outcome, SUCCESS_STATUS, exit_message, exit_status};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What carries a command's streams, as far as its end is concerned.
#[async_trait]
pub(super) trait Ending: Send + Sync {
    /// Ends our half of all streams, says goodbye, and waits until all was sent.
    async fn close(&self);

    /// Waits until the connection has ended.
    async fn ended(&self);
}

/// Tells the caller how the command ended. Dropped without a word, it cuts the connection off, and the
/// caller learns that it does not know.
pub struct OutcomeWriter {
    pub(super) error: BoxedWriter,
    pub(super) has_status: bool,
    pub(super) ending: Box<dyn Ending>,
}

impl std::fmt::Debug for OutcomeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutcomeWriter(status: {})", self.has_status)
    }
}

impl OutcomeWriter {
    /// Waits until the connection has ended: the caller has gone, and nobody hears of the end.
    pub async fn gone(&mut self) {
        self.ending.ended().await;
    }

    /// The command exited with 0. All that was written to its streams is sent, then everything is
    /// closed in order.
    pub async fn success(self) {
        let text = if self.has_status { SUCCESS_STATUS } else { "" };
        self.end(text.as_bytes()).await;
    }

    /// The command exited with this code.
    pub async fn exited(self, code: i32) {
        match code {
            0 => self.success().await,
            _ if self.has_status => self.end(exit_status(code).as_bytes()).await,
            _ => self.end(exit_message(code).as_bytes()).await,
        }
    }

    /// The command could not be run, or not to its end: a Status, of which older protocols carry the
    /// message alone.
    pub async fn failed(self, status: &Value) {
        let text = if self.has_status {
            status.to_string()
        } else {
            status["message"].as_str().unwrap_or("unknown error").to_owned()
        };
        self.end(text.as_bytes()).await;
    }

    async fn end(mut self, text: &[u8]) {
        let told = async {
            // A caller that went away does not hear it.
            let _ = self.error.write_all(text).await;
            let _ = self.error.shutdown().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, told).await.is_ok() {
            self.ending.close().await;
        }
    }
}

/// What a caller learns about the command's end.
pub struct OutcomeReader {
    pub(super) error: BoxedReader,
    pub(super) has_status: bool,
}

impl std::fmt::Debug for OutcomeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutcomeReader(status: {})", self.has_status)
    }
}

impl OutcomeReader {
    /// Waits for the end. The output must be read meanwhile: see the back-pressure of
    /// [`super`].
    ///
    /// # Errors
    /// Where the connection ended before the command's end was told.
    pub async fn read(self) -> Result<Outcome, StreamError> {
        let mut bytes = Vec::new();
        let mut limited = self.error.take(MAX_STATUS_BYTES as u64 + 1);
        match limited.read_to_end(&mut bytes).await {
            Ok(_) if bytes.len() > MAX_STATUS_BYTES => Err(StreamError::TooLong(MAX_STATUS_BYTES)),
            Ok(_) => Ok(Outcome::parse(&bytes, self.has_status)),
            Err(error) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<StreamError>());
                match inner.cloned().unwrap_or(StreamError::Lost) {
                    // A real kubelet writes the status and then cuts off all streams. Without a
                    // status, this is no success.
                    StreamError::Reset if is_whole(&bytes) => Ok(Outcome::parse(&bytes, self.has_status)),
                    error => Err(error),
                }
            }
        }
    }
}

/// Is this a status that nothing is missing of?
fn is_whole(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|status| status["status"].is_string())
}
