//! Bodies by hand, and bodies that somebody tampered with.

use super::*;
use proptest::prelude::*;

fn all(deframer: &mut Deframer, pieces: &[&[u8]]) -> Result<Vec<Bytes>, GrpcError> {
    let mut messages = Vec::new();
    for piece in pieces {
        deframer.receive(piece);
        while let Some(message) = deframer.take()? {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[test]
fn messages_have_a_flag_and_a_length_before_them() {
    assert_eq!(frame(b"hi")[..], [0, 0, 0, 0, 2, b'h', b'i']);
    assert_eq!(frame(b"")[..], [0, 0, 0, 0, 0]);
    let body = [0, 0, 0, 0, 2, b'h', b'i', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'!'];
    let mut deframer = Deframer::default();
    assert_eq!(all(&mut deframer, &[&body]).unwrap(), ["hi", "", "!"]);
    deframer.finish().unwrap();
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(all(&mut Deframer::default(), &bytes).unwrap(), ["hi", "", "!"]);
}

#[test]
fn what_is_too_long_or_compressed_is_refused_at_its_prefix() {
    let mut deframer = Deframer::new(3);
    assert_eq!(all(&mut deframer, &[&[0, 0, 0, 0, 3, 1, 2, 3]]).unwrap(), [&[1, 2, 3][..]]);
    let error = all(&mut deframer, &[&[0, 0, 0, 0, 4]]).unwrap_err();
    assert_eq!(error.to_string(), "grpc: received message larger than max (4 vs. 3)");
    assert_eq!(all(&mut Deframer::default(), &[&[1]]), Err(GrpcError::Compressed));
    assert_eq!(all(&mut Deframer::default(), &[&[7]]), Err(GrpcError::Flag(7)));
    let mut deframer = Deframer::default();
    all(&mut deframer, &[&[0, 0, 0, 0, 1]]).unwrap();
    assert_eq!(deframer.finish(), Err(GrpcError::Truncated));
}

#[test]
fn a_status_survives_its_trailers() {
    let status = Status::new(code::UNKNOWN, "100% \u{e4}\nok");
    assert_eq!(status.encoded_message(), "100%25 %C3%A4%0Aok");
    assert_eq!(Status::from_trailers(Some("2"), Some("100%25 %C3%A4%0Aok")), status);
    assert_eq!(Status::from_trailers(Some("0"), None), Status::ok());
    assert_eq!(Status::from_trailers(None, Some("%zz%4")), Status::new(code::UNKNOWN, "%zz%4"));
    assert_eq!(Status::new(14, "gone").to_string(), "rpc error: code = Unavailable desc = gone");
    assert_eq!(Status::new(99, "").to_string(), "rpc error: code = Code(99) desc = ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_survive_any_cutting(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        size in 1_usize..30,
    ) {
        let body: Vec<u8> = messages.iter().flat_map(|message| frame(message).to_vec()).collect();
        let pieces: Vec<&[u8]> = body.chunks(size).collect();
        let mut deframer = Deframer::default();
        let read = all(&mut deframer, &pieces).unwrap();
        prop_assert_eq!(read, messages);
        prop_assert_eq!(deframer.finish(), Ok(()));
    }

    #[test]
    fn no_body_makes_it_hold_more_than_a_message_and_a_piece(
        body in prop::collection::vec(prop_oneof![Just(0_u8), 0_u8..4, any::<u8>()], 0..400),
        size in 1_usize..50,
    ) {
        let mut deframer = Deframer::new(64);
        for piece in body.chunks(size) {
            deframer.receive(piece);
            loop {
                match deframer.take() {
                    Ok(Some(message)) => prop_assert!(message.len() <= 64),
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(deframer.held_bytes() < PREFIX_BYTES + 64);
        }
    }
}
