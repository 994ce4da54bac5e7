//! How a command's end is told: a Status in JSON since v4, text before.

use serde_json::Value;

/// The longest status that is read.
pub const MAX_STATUS_BYTES: usize = 64 * 1024;

/// The reason of a Status that tells an exit code (`remotecommand.NonZeroExitCodeReason`).
pub const NON_ZERO_EXIT_CODE: &str = "NonZeroExitCode";

/// The cause that holds it (`remotecommand.ExitCodeCauseType`).
pub const EXIT_CODE_CAUSE: &str = "ExitCode";

/// The Status of a command that exited with 0, as Go writes it.
pub const SUCCESS_STATUS: &str = r#"{"metadata":{},"status":"Success"}"#;

/// What a command's exit code is called in a message.
pub fn exit_message(code: i32) -> String {
    format!("command terminated with non-zero exit code: exit status {code}")
}

/// The Status of a command that exited with another code than 0, as Go writes it.
pub fn exit_status(code: i32) -> String {
    let message = exit_message(code);
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":"{message}","reason":"{NON_ZERO_EXIT_CODE}","details":{{"causes":[{{"reason":"{EXIT_CODE_CAUSE}","message":"{code}"}}]}}}}"#
    )
}

/// How a command ended, as its caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0.
    Success,
    /// With another exit code.
    Exited(i32),
    /// It could not be run to its end: a Status in JSON, or a text of the older protocols.
    Failed(String),
}

impl Outcome {
    /// Reads what came on the error stream. An empty stream that ended in order is success, as in
    /// `watchErrorStream` of client-go.
    pub fn parse(bytes: &[u8], has_status: bool) -> Self {
        if bytes.is_empty() {
            return Self::Success;
        }
        let text = || String::from_utf8_lossy(bytes).into_owned();
        if !has_status {
            return Self::Failed(text());
        }
        let Ok(status) = serde_json::from_slice::<Value>(bytes) else { return Self::Failed(text()) };
        if status["status"] == "Success" {
            return Self::Success;
        }
        let code = (status["reason"] == NON_ZERO_EXIT_CODE).then(|| exit_code(&status)).flatten();
        code.map_or_else(|| Self::Failed(text()), Self::Exited)
    }
}

fn exit_code(status: &Value) -> Option<i32> {
    let causes = status["details"]["causes"].as_array()?;
    let cause = causes.iter().find(|cause| cause["reason"] == EXIT_CODE_CAUSE)?;
    cause["message"].as_str()?.parse().ok()
}
