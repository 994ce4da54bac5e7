//! SPDY connections, WebSockets and tunnels as a whole: order, ends, bounds, deadlines.

use super::super::*;
use super::stage::*;
use ravelin_stream::session::{MAX_SENT_FRAME_BYTES, MAX_STREAM_BYTES, MAX_UNSENT_BYTES};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const TRANSFER: usize = 20 * 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn a_spdy_stream_carries_twenty_megabytes_each_way() {
    let host = host();
    let (client, server) = spdy(&host);
    let (near, far) = stream(&client, &server).await;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let up = spawn(&host, pour(near_write, 1, TRANSFER));
    let down = spawn(&host, pour(far_write, 2, TRANSFER));
    let (received_down, received_up) = tokio::join!(drain(near_read), drain(far_read));
    assert_eq!(received_up.unwrap(), (TRANSFER, up.await.unwrap().unwrap()));
    assert_eq!(received_down.unwrap(), (TRANSFER, down.await.unwrap().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_carries_spdy_within_a_websocket() {
    let host = host();
    let (near, far) = pipe();
    let client = Spdy::client(&host, tunnel_client(&host, near));
    let server = Spdy::server(&host, tunnel_server(&host, far));
    let (near, far) = stream(&client, &server).await;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let up = spawn(&host, pour(near_write, 1, TRANSFER));
    let down = spawn(&host, pour(far_write, 2, TRANSFER));
    let (received_down, received_up) = tokio::join!(drain(near_read), drain(far_read));
    assert_eq!(received_up.unwrap(), (TRANSFER, up.await.unwrap().unwrap()));
    assert_eq!(received_down.unwrap(), (TRANSFER, down.await.unwrap().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_carries_messages_each_way_and_closes_in_order() {
    let host = host();
    let (near, far) = pipe();
    let (mut near_send, mut near_receive) = WebSocket::client(&host, near).into_split();
    let (mut far_send, mut far_receive) = WebSocket::server(&host, far).into_split();
    let echo = spawn(&host, async move {
        while let Some(message) = far_receive.receive().await.unwrap() {
            far_send.send(message.kind, &message.bytes).await.unwrap();
        }
    });
    let sizes = [0, 1, 125, 126, 70_000, MAX_MESSAGE_BYTES];
    let sending = async {
        for size in sizes {
            near_send.send(Kind::Binary, &vec![7; size]).await.unwrap();
        }
        near_send.send(Kind::Text, b"last").await.unwrap();
        near_send
    };
    let receiving = async {
        for size in sizes {
            let message = near_receive.receive().await.unwrap().unwrap();
            assert_eq!((message.kind, message.bytes.len()), (Kind::Binary, size));
        }
        assert_eq!(near_receive.receive().await.unwrap().unwrap().bytes, b"last"[..]);
        near_receive
    };
    let (near_send, mut near_receive) = tokio::join!(sending, receiving);
    near_send.close(1000).await;
    echo.await.unwrap();
    assert!(near_receive.receive().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_half_that_ended_leaves_the_other_open() {
    let host = host();
    let (client, server) = spdy(&host);
    let (near, far) = stream(&client, &server).await;
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    near_write.write_all(b"question").await.unwrap();
    near_write.shutdown().await.unwrap();
    let mut question = String::new();
    far_read.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    assert!(near_write.write_all(b"more").await.is_err());
    settle(Duration::from_secs(1)).await;
    far_write.write_all(b"answer").await.unwrap();
    far_write.shutdown().await.unwrap();
    drop(far_write);
    drop(far_read);
    let mut answer = String::new();
    near_read.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test(start_paused = true)]
async fn a_writer_dropped_without_its_end_is_no_end() {
    let host = host();
    let (client, server) = spdy(&host);
    let (near, far) = stream(&client, &server).await;
    let (_near_read, mut near_write) = near.into_split();
    near_write.write_all(b"half").await.unwrap();
    drop(near_write);
    let (mut far_read, _far_write) = far.into_split();
    let mut bytes = Vec::new();
    assert_eq!(far_read.read_to_end(&mut bytes).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(bytes, b"half");
}

/// What a writer can get rid of while nobody reads, and all that is held for it.
#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_stops_the_writer_at_a_bound() {
    let host = host();
    let (client, server) = spdy(&host);
    let (near, far) = stream(&client, &server).await;
    let (mut far_read, _far_write) = far.into_split();
    let (_near_read, mut near_write) = near.into_split();
    let mut written = 0;
    let chunk = vec![1; 10_000];
    while let Ok(result) = tokio::time::timeout(Duration::from_secs(5), near_write.write(&chunk)).await {
        written += result.unwrap();
        assert!(written < TRANSFER, "nothing stops the writer");
    }
    let bound = MAX_STREAM_BYTES + 2 * (MAX_UNSENT_BYTES + MAX_SENT_FRAME_BYTES) + PIPE_BYTES + 64 * 1024;
    assert!(written > MAX_STREAM_BYTES && written <= bound, "{written} of {bound}");
    assert!(client.buffered_bytes() + server.buffered_bytes() <= bound);
    // Read, it goes on.
    let mut buffer = vec![0; 300_000];
    far_read.read_exact(&mut buffer).await.unwrap();
    near_write.write_all(&chunk).await.unwrap();
    // With nobody to read it any more, nothing holds up the writer.
    drop(far_read);
    for _ in 0..1000 {
        near_write.write_all(&chunk).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_ends_both_halves_with_an_error() {
    let host = host();
    let (near, mut far) = pipe();
    let client = Spdy::client(&host, near);
    let opening = spawn(&host, async move { (client.open(&[]).await, client) });
    // A SYN_REPLY without headers, made by the real thing.
    let mut real = ravelin_stream::spdy::Connection::new(ravelin_stream::spdy::Role::Server);
    let mut syn = vec![0; 1000];
    let length = far.read(&mut syn).await.unwrap();
    ravelin_stream::Session::receive(&mut real, &mut syn[..length]).unwrap();
    far.write_all(&ravelin_stream::Session::transmit(&mut real)).await.unwrap();
    let (stream, client) = opening.await.unwrap();
    let (mut read, mut write) = stream.unwrap().into_split();
    let waiting = spawn(&host, async move { read.read(&mut [0; 10]).await });
    settle(Duration::from_secs(1)).await;
    drop(far);
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(write.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(client.open(&[]).await.unwrap_err(), StreamError::Refused);
    assert!(client.accept().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_pings_is_gone() {
    let host = host();
    let (near, mut far) = pipe();
    let client = Spdy::client(&host, near).with_pings(PING_PERIOD);
    let start = Instant::now();
    assert!(client.accept().await.is_none());
    let lasted = start.elapsed();
    assert!(lasted >= PING_TIMEOUT && lasted <= PING_TIMEOUT + PING_PERIOD, "{lasted:?}");
    let mut pings = Vec::new();
    far.read_to_end(&mut pings).await.unwrap();
    assert!(pings.starts_with(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]) && pings.len() >= 11 * 12);
    // One that answers lasts.
    let (near, far) = pipe();
    let client = Spdy::client(&host, near).with_pings(PING_PERIOD);
    let _server = Spdy::server(&host, far);
    assert!(tokio::time::timeout(Duration::from_secs(3600), client.accept()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_passes_ends_after_four_hours() {
    let host = host();
    let (client, _server) = spdy(&host);
    let start = Instant::now();
    assert!(client.accept().await.is_none());
    assert_eq!(start.elapsed().as_secs(), IDLE_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn two_hundred_streams_pass_at_once() {
    let host = host();
    let (client, server) = spdy(&host);
    let echo = spawn(&host, async move {
        let mut tasks = Vec::new();
        for _ in 0..200 {
            let (mut read, mut write) = server.accept().await.unwrap().into_split();
            tasks.push(async move {
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
        futures_util::future::join_all(tasks).await;
        server
    });
    let streams = futures_util::future::join_all((0..200).map(|_| client.open(&[]))).await;
    let transfers = streams.into_iter().enumerate().map(|(index, stream)| {
        let (read, write) = stream.unwrap().into_split();
        async move {
            let (sent, received) = tokio::join!(pour(write, index as u64, 50_000), drain(read));
            assert_eq!(received.unwrap(), (50_000, sent.unwrap()));
        }
    });
    futures_util::future::join_all(transfers).await;
    let server = echo.await.unwrap();
    settle(Duration::from_secs(1)).await;
    assert_eq!(client.buffered_bytes() + server.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_last_handle_after_all_is_sent() {
    let host = host();
    let (client, server) = spdy(&host);
    let (near, far) = stream(&client, &server).await;
    let (_, mut near_write) = near.into_split();
    near_write.write_all(&[5; 100_000]).await.unwrap();
    near_write.shutdown().await.unwrap();
    drop(near_write);
    drop(client);
    let (read, _write) = far.into_split();
    assert_eq!(drain(read).await.unwrap().0, 100_000);
    assert!(server.accept().await.is_none());
    // And nothing stays behind: the far end of the pipe is closed.
    let (near, mut far) = pipe();
    drop(Spdy::client(&host, near));
    assert!(is_closed(&mut far).await);
    settle(Duration::from_secs(60)).await;
    drop((server, _write));
    settle(Duration::from_secs(60)).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_protocol_is_told_and_left() {
    let host = host();
    let (near, mut far) = pipe();
    let server = Spdy::server(&host, near);
    far.write_all(&[0x80, 2, 0, 1, 0, 0, 0, 0]).await.unwrap();
    let mut told = vec![0; 16];
    far.read_exact(&mut told).await.unwrap();
    assert_eq!(told, [0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(server.accept().await.is_none());
    assert!(is_closed(&mut far).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_taken_is_given_up() {
    let host = host();
    let (near, _far) = pipe();
    let client = Spdy::client(&host, near);
    let start = Instant::now();
    assert_eq!(client.open(&[]).await.unwrap_err(), StreamError::Unanswered);
    assert_eq!(start.elapsed().as_secs(), CREATION_TIMEOUT.as_secs());
}
