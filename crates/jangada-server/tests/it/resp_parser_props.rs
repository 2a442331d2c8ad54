//! The parser under random streams: what goes in comes out, wherever the stream is cut, and garbage never
//! panics.

use jangada_server::limits::Limits;
use jangada_server::resp::inline::Words;
use jangada_server::resp::parser::{Parser, Step};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a stream was read as.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Array(Vec<Vec<u8>>),
    Line(Vec<u8>),
    Nothing,
    Error(String),
}

/// Reads a stream that arrives in pieces.
fn read(pieces: &[&[u8]], limits: &Limits) -> Vec<Seen> {
    let mut parser = Parser::new(limits);
    let mut buffer = Vec::new();
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let consumed = match parser.step(&buffer) {
                Ok(None) => break,
                Ok(Some(Step::Array { consumed })) => {
                    let words = parser.arguments(&buffer).from(0).map(<[u8]>::to_vec).collect();
                    seen.push(Seen::Array(words));
                    consumed
                }
                Ok(Some(Step::Line { length, consumed })) => {
                    seen.push(Seen::Line(buffer[..length].to_vec()));
                    consumed
                }
                Ok(Some(Step::Nothing { consumed })) => {
                    seen.push(Seen::Nothing);
                    consumed
                }
                Err(error) => {
                    seen.push(Seen::Error(error.to_string()));
                    return seen;
                }
            };
            assert!(consumed > 0 && consumed <= buffer.len());
            buffer.drain(..consumed);
        }
    }
    seen
}

fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Bytes that look like the protocol often enough to reach every corner of the parser.
fn almost_resp() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_vec()),
        (0..300_u32).prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 0..8),
    ];
    vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

fn small() -> Limits {
    Limits { line_bytes: 24, bulk_bytes: 40, array_elements: 12, command_bytes: 200, ..Limits::default() }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(commands in vec(vec(vec(any::<u8>(), 0..40), 1..8), 1..8), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let stream: Vec<u8> = commands.iter().flat_map(|words| encoded(words)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[from..cut]);
            from = cut;
        }
        let expected: Vec<Seen> = commands.into_iter().map(Seen::Array).collect();
        prop_assert_eq!(read(&pieces, &Limits::default()), expected);
    }

    #[test]
    fn the_cut_never_matters(stream in almost_resp()) {
        for limits in [Limits::default(), small()] {
            let whole = read(&[&stream], &limits);
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&read(&bytes, &limits), &whole);
            for cut in 0..stream.len() {
                prop_assert_eq!(&read(&[&stream[..cut], &stream[cut..]], &limits), &whole);
            }
        }
    }

    #[test]
    fn garbage_is_read_or_refused(stream in vec(any::<u8>(), 0..400)) {
        read(&[&stream], &small());
        let mut words = Words::default();
        if words.cut(&stream).is_ok() {
            let length: usize = words.arguments().from(0).map(<[u8]>::len).sum();
            prop_assert!(length <= stream.len());
        }
    }

    #[test]
    fn quoted_words_come_out_as_they_were(words in vec(vec(any::<u8>(), 0..12), 0..6)) {
        let quoted: Vec<String> = words
            .iter()
            .map(|word| format!("\"{}\"", word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()))
            .collect();
        let mut cut = Words::default();
        cut.cut(quoted.join(" ").as_bytes()).unwrap();
        let came: Vec<Vec<u8>> = cut.arguments().from(0).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(came, words);
    }
}

#[test]
fn memory_follows_what_arrived_not_what_was_announced() {
    let mut parser = Parser::new(&Limits::default());
    assert_eq!(parser.step(b"*1048576\r\n$1500000\r\n"), Ok(None));
    assert!(parser.wanted() < 1_500_100);
    assert!(parser.arguments(b"").is_empty());
}

#[test]
fn a_million_elements_are_read_in_linear_time() {
    let count = 1024 * 1024;
    let mut stream = format!("*{count}\r\n").into_bytes();
    for _ in 0..count {
        stream.extend_from_slice(b"$1\r\nx\r\n");
    }
    let limits = Limits::default();
    let mut parser = Parser::new(&limits);
    // Each step goes on where the last one stopped: four thousand of them, not four thousand squared.
    for end in (0..stream.len()).step_by(2048) {
        assert_eq!(parser.step(&stream[..end]), Ok(None));
    }
    assert_eq!(parser.step(&stream), Ok(Some(Step::Array { consumed: stream.len() })));
    assert_eq!(parser.arguments(&stream).len(), count);
}
