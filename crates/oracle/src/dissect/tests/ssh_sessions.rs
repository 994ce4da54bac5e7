//! SSH sessions of russh.

#![expect(clippy::disallowed_methods, reason = "what stands around a session in a test is no component")]

use super::super::*;
use russh::client::{self, AuthResult};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::server::{self, Auth, ChannelOpenHandle, VerifiedPublicKey};
use russh::{Channel, Preferred};
use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

struct Client {
    trusting: bool,
    secrets: Arc<Mutex<Secrets>>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(self.trusting)
    }

    async fn kex_done(
        &mut self,
        shared_secret: Option<&[u8]>,
        names: &russh::Names,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.secrets.lock().unwrap().add_ssh(SshSecret {
            shared_secret: shared_secret.unwrap().to_vec(),
            kex: names.kex.as_ref().to_owned(),
            cipher: names.cipher.as_ref().to_owned(),
        });
        Ok(())
    }
}

/// Answers every channel with its bytes in upper case; refuses port 1.
struct Server;

impl server::Handler for Server {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<server::Msg>,
        _: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), russh::Error> {
        if port != 1 {
            reply.accept().await;
            tokio::spawn(async move {
                let mut stream = channel.into_stream();
                let mut buffer = vec![0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    buffer[..count].make_ascii_uppercase();
                    stream.write_all(&buffer[..count]).await.unwrap();
                }
            });
        }
        Ok(())
    }
}

/// Both sides as before 2023: no strict exchange, a cipher that counts packets, extensions told.
fn old() -> Preferred {
    Preferred {
        kex: Cow::Owned(vec![russh::kex::CURVE25519, russh::kex::EXTENSION_SUPPORT_AS_CLIENT]),
        cipher: Cow::Owned(vec![russh::cipher::CHACHA20_POLY1305]),
        ..Preferred::default()
    }
}

fn preferred() -> Preferred {
    Preferred {
        kex: Cow::Owned(vec![
            russh::kex::CURVE25519,
            russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        cipher: Cow::Owned(vec![russh::cipher::AES_256_GCM]),
        ..Preferred::default()
    }
}

fn key(byte: u8) -> PrivateKey {
    let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&[byte; 32]);
    PrivateKey::from(pair)
}

/// Carries bytes between two pipes and keeps a copy of those that were read from the first.
async fn tap(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: tokio::io::WriteHalf<DuplexStream>,
    copy: Arc<Mutex<Vec<u8>>>,
) {
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        copy.lock().unwrap().extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

struct Captured {
    client: Arc<Mutex<Vec<u8>>>,
    server: Arc<Mutex<Vec<u8>>>,
    secrets: Arc<Mutex<Secrets>>,
}

impl Captured {
    fn read(&self) -> SshSession {
        let secrets = self.secrets.lock().unwrap();
        match dissect(&self.client.lock().unwrap(), &self.server.lock().unwrap(), &secrets) {
            Dissected::Ssh(session) => session,
            other => panic!("{other:?}"),
        }
    }
}

async fn connected(
    trusting: bool,
    preferred: Preferred,
) -> (Captured, Result<client::Handle<Client>, russh::Error>) {
    let captured = Captured { client: Arc::default(), server: Arc::default(), secrets: Arc::default() };
    let (client_end, near) = tokio::io::duplex(8192);
    let (far, server_end) = tokio::io::duplex(8192);
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    tokio::spawn(tap(near_read, far_write, Arc::clone(&captured.client)));
    tokio::spawn(tap(far_read, near_write, Arc::clone(&captured.server)));
    let server = server::Config { keys: vec![key(1)], preferred: preferred.clone(), ..Default::default() };
    tokio::spawn(
        async move { server::run_stream(Arc::new(server), server_end, Server).await.unwrap().await },
    );
    let config = Arc::new(client::Config { preferred, ..Default::default() });
    let handler = Client { trusting, secrets: Arc::clone(&captured.secrets) };
    let handle = client::connect_stream(config, client_end, handler).await;
    (captured, handle)
}

async fn authenticated(preferred: Preferred) -> (Captured, client::Handle<Client>) {
    let (captured, handle) = connected(true, preferred).await;
    let mut handle = handle.unwrap();
    let user_key = PrivateKeyWithHashAlg::new(Arc::new(key(2)), None);
    assert!(matches!(handle.authenticate_publickey("tunnel", user_key).await.unwrap(), AuthResult::Success));
    (captured, handle)
}

async fn ask(handle: &client::Handle<Client>, port: u32, text: &str) -> impl AsyncReadExt + use<> {
    let channel = handle.channel_open_direct_tcpip("10.0.0.7", port, "127.0.0.1", 0).await.unwrap();
    let mut stream = channel.into_stream();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn channels_are_read_apart_across_a_rekey() {
    let (captured, handle) = authenticated(preferred()).await;
    let first = ask(&handle, 80, "first").await;
    assert!(handle.channel_open_direct_tcpip("10.0.0.9", 1, "127.0.0.1", 0).await.is_err());
    let second = ask(&handle, 81, "second").await;
    handle.rekey_soon().await.unwrap();
    drop(first);
    let third = ask(&handle, 82, &"third".repeat(9_000)).await;
    drop((second, third));

    let read = captured.read();
    let channels: Vec<(String, bool)> =
        read.channels.iter().map(|channel| (channel.name(), channel.confirmed)).collect();
    let expected =
        [("10.0.0.7:80", true), ("10.0.0.9:1", false), ("10.0.0.7:81", true), ("10.0.0.7:82", true)];
    assert_eq!(channels, expected.map(|(target, confirmed)| (format!("direct-tcpip {target}"), confirmed)));
    assert_eq!(
        (read.channels[0].client.as_slice(), read.channels[0].server.as_slice()),
        (&b"first"[..], &b"FIRST"[..])
    );
    assert_eq!(
        (read.channels[2].client.as_slice(), read.channels[2].server.as_slice()),
        (&b"second"[..], &b"SECOND"[..])
    );
    assert_eq!(read.channels[3].server, "THIRD".repeat(9_000).as_bytes());
    assert_eq!((read.user.as_deref(), read.authenticated, read.exchanges_read), (Some("tunnel"), true, 2));
    assert_eq!(read.host_key, key(1).public_key().to_bytes().unwrap());

    let secrets = captured.secrets.lock().unwrap().clone();
    let streams = plain_streams(&captured.client.lock().unwrap(), &captured.server.lock().unwrap(), &secrets);
    assert_eq!(streams[0].layers, ["ssh", "direct-tcpip 10.0.0.7:80"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_shared_secret_only_the_clear_part_is_read() {
    let (captured, handle) = authenticated(preferred()).await;
    drop(ask(&handle, 80, "secret").await);
    *captured.secrets.lock().unwrap() = Secrets::default();
    captured.secrets.lock().unwrap().add_ssh(SshSecret {
        shared_secret: vec![7; 32],
        kex: "curve25519-sha256".into(),
        cipher: "aes256-gcm@openssh.com".into(),
    });
    let read = captured.read();
    assert!(
        read.channels.is_empty() && !read.authenticated && read.user.is_none() && read.sealed_bytes > 100
    );
    assert_eq!(read.host_key, key(1).public_key().to_bytes().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_refused_host_key_shows_no_authentication() {
    let (captured, handle) = connected(false, preferred()).await;
    assert!(matches!(handle, Err(russh::Error::UnknownKey)));
    let read = captured.read();
    assert!(read.user.is_none() && read.channels.is_empty() && !read.host_key.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cipher_that_counts_packets_is_read_strict_or_not() {
    for strict in [true, false] {
        let mut preferred = old();
        if strict {
            preferred.kex.to_mut().extend([
                russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
                russh::kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
            ]);
        }
        let (captured, handle) = authenticated(preferred).await;
        let first = ask(&handle, 80, "first").await;
        handle.rekey_soon().await.unwrap();
        drop((first, ask(&handle, 81, &"second".repeat(9_000)).await));
        let read = captured.read();
        assert_eq!((read.strict, read.exchanges_read, read.sealed_bytes), (strict, 2, 0));
        assert_eq!(read.channels[1].server, "SECOND".repeat(9_000).as_bytes());
        assert_eq!(read.extensions_told_by, [Side::Server]);
    }
}
