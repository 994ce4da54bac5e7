//! Port-forward over the channels of a WebSocket (`portforward/websocket.go`): the ports stand in
//! the query, and each has one connection, with a channel for its bytes and one for what went wrong. The
//! number of a channel stands before its bytes: as a byte, or as a digit before base64 (`wsstream.Conn`).

use super::forward::copy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_host::{BoxedStream, HostRef, Task};
use ravelin_runtime::Runtime;
use ravelin_transport::streams::{Kind, WebSocket, WebSocketReceiver, WebSocketSender};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

/// What a channel holds at most, in bytes, in either direction.
const HELD_BYTES: usize = 32 * 1024;
/// How many messages may wait to be sent.
const MAX_WAITING: usize = 8;
/// All is well (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `v4.channel.k8s.io`.
    Binary,
    /// `v4.base64.channel.k8s.io`.
    Base64,
}

impl Coding {
    fn message(self, channel: u8, bytes: &[u8]) -> (Kind, Vec<u8>) {
        match self {
            Self::Binary => (Kind::Binary, [&[channel], bytes].concat()),
            Self::Base64 => {
                (Kind::Text, [&[channel.wrapping_add(b'0')], STANDARD.encode(bytes).as_bytes()].concat())
            }
        }
    }

    /// The channel and its bytes; `None` where a message is none.
    fn read(self, message: &[u8]) -> Option<(u8, Cow<'_, [u8]>)> {
        let (channel, bytes) = message.split_first()?;
        Some(match self {
            Self::Binary => (*channel, Cow::Borrowed(bytes)),
            Self::Base64 => (channel.checked_sub(b'0')?, Cow::Owned(STANDARD.decode(bytes).ok()?)),
        })
    }
}

/// Forwards one connection to each port until all have ended, or the client's has.
pub(super) async fn serve(
    (host, runtime): (HostRef, Arc<dyn Runtime>),
    stream: BoxedStream,
    (uid, ports, coding): (String, Vec<u16>, Coding),
) {
    let (mut sender, receiver) = WebSocket::server(&host, stream).into_split();
    let (outgoing, mut to_send) = mpsc::channel::<(u8, Vec<u8>)>(MAX_WAITING);
    let mut inputs = Vec::new();
    // They end with this connection.
    let mut forwarding: Vec<Task> = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        let Ok(data) = u8::try_from(index * 2) else { return };
        for channel in [data, data + 1] {
            if send(&mut sender, coding.message(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
        let (near, far) = tokio::io::duplex(HELD_BYTES);
        let (output, input) = tokio::io::split(near);
        inputs.push(Some(input));
        let port = Port { runtime: Arc::clone(&runtime), uid: uid.clone(), port, data };
        let forwarded = port.forward(far, output, outgoing.clone());
        forwarding.push(host.spawn("kubelet.forward", Box::pin(forwarded)));
    }
    drop(outgoing);
    let ended = sender.ended();
    let sending = async {
        while let Some((channel, bytes)) = to_send.recv().await {
            if send(&mut sender, coding.message(channel, &bytes)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = sending => {}
        () = receive((receiver, coding), inputs) => return,
        // A port that takes nothing keeps what is received from being looked at, its end included.
        () = ended => return,
    }
    sender.close(NORMAL).await;
}

async fn send(
    sender: &mut WebSocketSender,
    (kind, message): (Kind, Vec<u8>),
) -> Result<(), ravelin_transport::streams::StreamError> {
    sender.send(kind, &message).await
}

/// Gives each port what comes for it, until nothing comes any more. One that takes nothing holds up the
/// others: there is one connection for all.
async fn receive(
    (mut receiver, coding): (WebSocketReceiver, Coding),
    mut inputs: Vec<Option<WriteHalf<DuplexStream>>>,
) {
    while let Ok(Some(message)) = receiver.receive().await {
        let Some((channel, bytes)) = coding.read(&message.bytes) else { continue };
        // What comes on a channel for errors is for nobody.
        let Some(slot) = inputs.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0) else {
            continue;
        };
        if let Some(input) = slot
            && input.write_all(&bytes).await.is_err()
        {
            *slot = None;
        }
    }
}

/// One forwarded port.
struct Port {
    runtime: Arc<dyn Runtime>,
    uid: String,
    port: u16,
    data: u8,
}

impl Port {
    async fn forward(
        self,
        far: DuplexStream,
        mut output: ReadHalf<DuplexStream>,
        outgoing: mpsc::Sender<(u8, Vec<u8>)>,
    ) {
        let sending = async {
            let mut held = vec![0; HELD_BYTES];
            while let Ok(count @ 1..) = output.read(&mut held).await {
                if outgoing.send((self.data, held[..count].to_vec())).await.is_err() {
                    return;
                }
            }
        };
        let forwarding = async {
            let (reader, writer) = tokio::io::split(far);
            let pod = self.runtime.port_forward(&self.uid, self.port).await;
            let pod = pod.map_err(|error| error.to_string())?;
            copy((Box::new(reader), Box::new(writer)), pod).await.map_err(|error| error.to_string())
        };
        let ((), ended) = tokio::join!(biased; sending, forwarding);
        if let Err(why) = ended {
            let Self { uid, port, data, .. } = self;
            let text = format!("error forwarding port {port} to pod {uid}, uid : {why}");
            // A client that went away does not hear it.
            let _ = outgoing.send((data + 1, text.into_bytes())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_host::Endpoint;
    use ravelin_host::memory::Network;
    use ravelin_runtime::{Builtin, PodView, Sandbox};
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn messages_in_base64_begin_with_a_digit() {
        assert_eq!(Coding::Base64.message(1, b"hi"), (Kind::Text, b"1aGk=".to_vec()));
        assert_eq!(Coding::Base64.read(b"2aGk="), Some((2, Cow::Owned(b"hi".to_vec()))));
        for none in [&b""[..], b"\x002", b"2a"] {
            assert_eq!(Coding::Base64.read(none), None, "{none:?}");
        }
        assert_eq!(Coding::Binary.read(b"\x02hi"), Some((2, Cow::Borrowed(&b"hi"[..]))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_vanishes_is_not_waited_for_by_a_port_that_takes_nothing() {
        let network = Network::new();
        let (host, address) = (network.host("pod", [10, 244, 0, 2]), [10, 244, 0, 2]);
        let runtime = Arc::new(Builtin::new());
        let pod = serde_json::json!({ "metadata": { "namespace": "ns", "name": "p", "uid": "u" },
            "spec": { "containers": [{ "name": "c", "image": "ravelin.test/logger" }] } });
        let pod = PodView::parse(&pod).unwrap();
        let (files, env) = (BTreeMap::new(), BTreeMap::new());
        let sandbox = Sandbox { pod, host: host.clone(), root: String::new(), files, env };
        runtime.run_pod(sandbox).await.unwrap();
        let listener = host.listen(&Endpoint::tcp(address, 7)).await.unwrap();
        let (near, far) = tokio::io::duplex(1024);
        let runtime: Arc<dyn Runtime> = runtime;
        let serving =
            serve((host.clone(), runtime), Box::new(far), ("u".to_owned(), vec![7], Coding::Binary));
        let client = async {
            let (mut sender, receiver) = WebSocket::client(&host, Box::new(near)).into_split();
            let silent = listener.accept().await.unwrap();
            for _ in 0..16 {
                sender.send(Kind::Binary, &[0; 32 * 1024]).await.unwrap();
            }
            // All that is under way arrives.
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop((sender, receiver));
            silent
        };
        let ended =
            tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(serving, client) }).await;
        assert!(ended.is_ok(), "it goes on without a client");
    }
}
