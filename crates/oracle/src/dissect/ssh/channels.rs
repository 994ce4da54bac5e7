//! Channels (RFC 4254): which bytes belong together.

use super::super::Side;
use super::super::cursor::Cursor;
use std::collections::BTreeMap;

const CHANNEL_OPEN: u8 = 90;
const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
const CHANNEL_OPEN_FAILURE: u8 = 92;
const CHANNEL_DATA: u8 = 94;
const CHANNEL_CLOSE: u8 = 97;

/// One channel that the client opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshChannel {
    /// Its type: `direct-tcpip`, `session`.
    pub kind: String,
    /// The host and port that a `direct-tcpip` channel asked for.
    pub target: Option<(String, u16)>,
    /// Did the server confirm it?
    pub confirmed: bool,
    /// The bytes that the client sent.
    pub client: Vec<u8>,
    /// The bytes that the server sent.
    pub server: Vec<u8>,
}

impl SshChannel {
    /// Its type and target: `direct-tcpip 10.0.0.1:80`.
    pub fn name(&self) -> String {
        match &self.target {
            Some((host, port)) => format!("{} {host}:{port}", self.kind),
            None => self.kind.clone(),
        }
    }
}

/// The bytes of one use of a channel number. A number may be used again once its channel is
/// closed.
#[derive(Default)]
struct Uses {
    /// How often the side that is addressed by the number has been told that it is closed.
    closed: usize,
    data: BTreeMap<usize, Vec<u8>>,
}

/// The channels of a connection. The two directions are read one after the other, so what belongs
/// together is found by counting the uses of each number.
#[derive(Default)]
pub(super) struct Channels {
    /// What the client opened, with its own number.
    opened: Vec<(u32, SshChannel)>,
    /// The server's answers, in order: the client's number, and the server's where it confirmed.
    answers: Vec<(u32, Option<u32>)>,
    /// What the client sent to a number of the server.
    to_server: BTreeMap<u32, Uses>,
    /// What the server sent to a number of the client.
    to_client: BTreeMap<u32, Uses>,
}

impl Channels {
    /// Takes one message.
    pub(super) fn message(&mut self, from: Side, payload: &[u8]) {
        let _ = self.read(from, payload);
    }

    fn read(&mut self, from: Side, payload: &[u8]) -> Option<()> {
        let mut cursor = Cursor(payload);
        let kind = cursor.byte()?;
        if kind == CHANNEL_OPEN {
            if from == Side::Client {
                self.opened.push(opened(cursor)?);
            }
            return Some(());
        }
        if !(CHANNEL_OPEN..=CHANNEL_CLOSE).contains(&kind) {
            return None;
        }
        let number = u32::try_from(cursor.number(4)?).ok()?;
        let uses = if from == Side::Client { &mut self.to_server } else { &mut self.to_client };
        match (kind, from) {
            (CHANNEL_OPEN_CONFIRMATION, Side::Server) => {
                let own = u32::try_from(cursor.number(4)?).ok()?;
                self.answers.push((number, Some(own)));
            }
            (CHANNEL_OPEN_FAILURE, Side::Server) => {
                uses.entry(number).or_default().closed += 1;
                self.answers.push((number, None));
            }
            (CHANNEL_DATA, _) => {
                let uses = uses.entry(number).or_default();
                uses.data.entry(uses.closed).or_default().extend_from_slice(cursor.field(4)?);
            }
            (CHANNEL_CLOSE, _) => uses.entry(number).or_default().closed += 1,
            _ => {}
        }
        Some(())
    }

    /// Every channel with its bytes.
    pub(super) fn finish(mut self) -> Vec<SshChannel> {
        let mut client_uses: BTreeMap<u32, usize> = BTreeMap::new();
        let mut server_uses: BTreeMap<u32, usize> = BTreeMap::new();
        let bytes_of = |uses: &mut BTreeMap<u32, Uses>, number: u32, use_number: usize| {
            uses.get_mut(&number).and_then(|uses| uses.data.remove(&use_number)).unwrap_or_default()
        };
        // Confirmations may come in another order than requests: the n-th answer for a number
        // belongs to its n-th use, and the server's numbers count in the order of its answers.
        let mut answered: BTreeMap<(u32, usize), (u32, usize)> = BTreeMap::new();
        let mut answers: BTreeMap<u32, usize> = BTreeMap::new();
        for (number, confirmed) in &self.answers {
            let nth = next_use(&mut answers, *number);
            if let Some(own) = confirmed {
                answered.insert((*number, nth), (*own, next_use(&mut server_uses, *own)));
            }
        }
        for (number, channel) in &mut self.opened {
            let nth = next_use(&mut client_uses, *number);
            channel.server = bytes_of(&mut self.to_client, *number, nth);
            if let Some((own, own_nth)) = answered.get(&(*number, nth)) {
                channel.confirmed = true;
                channel.client = bytes_of(&mut self.to_server, *own, *own_nth);
            }
        }
        self.opened.into_iter().map(|(_, channel)| channel).collect()
    }
}

/// Counts the uses of a number: 0 for the first.
fn next_use(uses: &mut BTreeMap<u32, usize>, number: u32) -> usize {
    let count = uses.entry(number).or_default();
    *count += 1;
    *count - 1
}

fn opened(mut cursor: Cursor<'_>) -> Option<(u32, SshChannel)> {
    let kind = cursor.text()?;
    let number = u32::try_from(cursor.number(4)?).ok()?;
    cursor.take(8)?;
    let target = if kind == "direct-tcpip" {
        let host = cursor.text()?;
        Some((host, u16::try_from(cursor.number(4)?).ok()?))
    } else {
        None
    };
    Some((number, SshChannel { kind, target, ..SshChannel::default() }))
}
