//! The parser against the standard's rules, every chunking, and two oracles.

use std::convert::Infallible;

use futures_util::{FutureExt, TryStreamExt};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Everything that a caller can see after a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<Event>,
    last_event_id: String,
    retry: Option<Duration>,
    failure: Option<LineTooLong>,
}

fn event(event: &str, data: &str, id: &str) -> Event {
    Event { event: event.to_owned(), data: data.to_owned(), id: id.to_owned() }
}

fn message(data: &str, id: &str) -> Event {
    event("message", data, id)
}

fn parse<'a>(mut parser: EventStreamParser, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut events = Vec::new();
    // All chunks are pushed, also after an error: the error must stay.
    let failure = chunks.into_iter().fold(None, |_, chunk| parser.push(chunk, &mut events).err());
    Outcome { events, last_event_id: parser.last_event_id().to_owned(), retry: parser.retry(), failure }
}

/// Parses `stream` whole, cut at every place, and byte by byte. The results must not differ.
fn parse_in_every_chunking(parser: impl Fn() -> EventStreamParser, stream: &[u8]) -> Outcome {
    let whole = parse(parser(), [stream]);
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(whole, parse(parser(), [left, right]), "cut after {cut} bytes of {stream:?}");
    }
    assert_eq!(whole, parse(parser(), stream.chunks(1)), "byte by byte: {stream:?}");
    whole
}

#[track_caller]
fn assert_events(stream: impl AsRef<[u8]>, expected: &[Event]) {
    let outcome = parse_in_every_chunking(|| EventStreamParser::new(""), stream.as_ref());
    assert_eq!((outcome.events.as_slice(), outcome.failure), (expected, None));
}

#[track_caller]
fn assert_last_event_id(stream: impl AsRef<[u8]>, expected: &str) {
    let outcome = parse_in_every_chunking(|| EventStreamParser::new("earlier"), stream.as_ref());
    assert_eq!(outcome.last_event_id, expected);
}

#[track_caller]
fn assert_retry_ms(stream: impl AsRef<[u8]>, expected: Option<u64>) {
    let outcome = parse_in_every_chunking(|| EventStreamParser::new(""), stream.as_ref());
    assert_eq!(outcome.retry, expected.map(Duration::from_millis));
}

#[test]
fn q1_strips_one_byte_order_mark_at_the_start() {
    assert_events("\u{feff}data: a\n\n", &[message("a", "")]);
    assert_events("\u{feff}\ndata: a\n\n", &[message("a", "")]);
    // A second mark, or one further on, makes the field's name unknown.
    assert_events("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &[message("b", "")]);
    assert_events("data: a\n\n\u{feff}data: b\n\n", &[message("a", "")]);
    assert_events("\n\u{feff}data: a\n\n", &[]);
    assert_events("data: \u{feff}a\n\n", &[message("\u{feff}a", "")]);
}

#[test]
fn q2_lines_end_with_lf_cr_or_crlf_however_chunks_fall() {
    let expected = [message("a\nb", ""), message("c", "")];
    for end in ["\n", "\r", "\r\n"] {
        assert_events(["data: a", "data: b", "", "data: c", "", ""].join(end), &expected);
    }
    assert_events("data: a\rdata: b\r\n\rdata: c\n\r\n", &expected);
    // LF then CR are two line ends.
    assert_events("data: a\n\rdata: b\n\r", &[message("a", ""), message("b", "")]);
    assert_events("data: a\r\n\ndata: b\r\r", &[message("a", ""), message("b", "")]);
}

#[test]
fn q2_a_cr_that_ends_a_chunk_dispatches_at_once_and_its_lf_is_skipped() {
    let mut parser = EventStreamParser::new("");
    let mut events = Vec::new();
    parser.push(b"data: a\r\n\r", &mut events).expect("short");
    assert_eq!(events, [message("a", "")]);
    // Not even an empty chunk in between makes the LF a line of its own, which would end the block.
    for chunk in [&b"\ndata: b\r"[..], b"", b"\ndata: c\r", b"\n", b"\n"] {
        parser.push(chunk, &mut events).expect("short");
    }
    assert_eq!(events, [message("a", ""), message("b\nc", "")]);
}

#[test]
fn q3_comments_are_ignored() {
    assert_events(":\n: hi\n\n:data: a\ndata: b\n:data: c\ndata: d\n\n: end\n\n", &[message("b\nd", "")]);
}

#[test]
fn q4_a_field_without_colon_has_an_empty_value() {
    assert_events("id: 1\nevent: e\nevent\nid\ndata\n\n", &[message("", "")]);
    assert_events("database\nDATA: a\n data: b\ndata : c\nunknown: d\n\n", &[]);
}

#[test]
fn q5_data_alone_is_an_empty_event_and_no_data_is_none() {
    assert_events("data\n\n", &[message("", "")]);
    assert_events("data:\n\n", &[message("", "")]);
    assert_events("event: e\nid: 1\nretry: 5\n\n\n\n", &[]);
    // The type of a block without data does not stay for the next.
    assert_events("event: e\n\ndata: a\n\nevent: e\ndata: b\n\n", &[message("a", ""), event("e", "b", "")]);
}

#[test]
fn q6_several_data_lines_are_joined_by_lf() {
    assert_events("data: a\ndata: b\n\n", &[message("a\nb", "")]);
    assert_events("data\ndata\n\n", &[message("\n", "")]);
    assert_events("data: a\nevent: e\ndata\ndata:\n\n", &[event("e", "a\n\n", "")]);
}

#[test]
fn q6_only_one_leading_space_is_removed() {
    assert_events(
        "data:a\ndata: b\ndata:  c\ndata: \ndata:\td: e \n\n",
        &[message("a\nb\n c\n\n\td: e ", "")],
    );
}

#[test]
fn q7_an_id_persists_until_changed_or_reset() {
    assert_events(
        "id: 1\ndata: a\n\ndata: b\n\nid: 2\nid: 3\ndata: c\n\nid:\ndata: d\n\ndata: e\n\n",
        &[message("a", "1"), message("b", "1"), message("c", "3"), message("d", ""), message("e", "")],
    );
    assert_last_event_id("data: a\n\n", "earlier");
    assert_last_event_id("id\ndata: a\n\n", "");
}

#[test]
fn q7_a_block_without_data_still_moves_the_id() {
    assert_last_event_id("id: 1\n\n", "1");
    assert_events("id: 1\n\ndata: a\n\n", &[message("a", "1")]);
}

#[test]
fn q7_a_new_connection_continues_from_the_given_id() {
    let outcome = parse(EventStreamParser::new("9"), [&b"data: a\n\n"[..]]);
    assert_eq!(outcome.events, [message("a", "9")]);
}

#[test]
fn q8_an_id_with_nul_is_ignored() {
    assert_events("id: 1\nid: 2\0\ndata: a\n\nid: \0\ndata: b\n\n", &[message("a", "1"), message("b", "1")]);
    assert_last_event_id("id: 1\0\n\n", "earlier");
}

#[test]
fn q9_a_retry_with_anything_but_digits_is_ignored() {
    for value in ["1000x", "x", "", " 1", "1 ", "+1", "-1", "1.5", "1_000", "٣"] {
        assert_retry_ms(format!("retry: {value}\n\n"), None);
        assert_retry_ms(format!("retry: 7\nretry: {value}\n\n"), Some(7));
    }
}

#[test]
fn q9_a_retry_of_digits_takes_effect_with_its_line() {
    assert_retry_ms("retry: 1000\n", Some(1000));
    assert_retry_ms("retry:0020\nretry: 3", Some(20));
    assert_retry_ms("retry: 0\n", Some(0));
    assert_retry_ms("retry: 99999999999999999999999\n", Some(u64::MAX));
}

#[test]
fn q10_an_unfinished_last_block_is_not_dispatched_and_its_id_not_kept() {
    for tail in ["id: 2\ndata: b\n", "id: 2\ndata: b", "id: 2", "data: b\nid: 2\n"] {
        let stream = format!("id: 1\ndata: a\n\n{tail}");
        assert_events(&stream, &[message("a", "1")]);
        assert_last_event_id(&stream, "1");
    }
}

#[test]
fn q11_invalid_utf8_becomes_replacement_characters() {
    assert_events(b"data: a\xff\xe2\x82b\n\n", &[message("a\u{fffd}\u{fffd}b", "")]);
    // A character cut off by the line end does not swallow it.
    assert_events(b"data: \xe2\x82\ndata: \xac\n\n", &[message("\u{fffd}\n\u{fffd}", "")]);
    assert_events(
        b"event: \xc3\nid: \xf0\x9f\ndata: \xed\xa0\x80\n\n",
        &[event("\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}")],
    );
    assert_events("event: é\nid: €\ndata: 🦀\n\n", &[event("é", "🦀", "€")]);
}

#[test]
fn q14_a_line_may_reach_the_bound_but_not_pass_it() {
    let parser = || EventStreamParser::new("").with_line_bytes_max(10);
    let failure = Some(LineTooLong { line_bytes_max: 10 });
    for stream in ["data: 1234\n\n", ":234567890\r\ndata: 1234\n\n"] {
        let outcome = parse_in_every_chunking(parser, stream.as_bytes());
        assert_eq!((outcome.events, outcome.failure), (vec![message("1234", "")], None));
    }
    // With or without the line's end; comments and unknown fields too. What came before is kept.
    for line in ["data: 12345\n\n", "data: 12345", ":2345678901", "unknown: 01\n"] {
        let stream = format!("id: 1\ndata: a\n\nid: 2\n{line}");
        let outcome = parse_in_every_chunking(parser, stream.as_bytes());
        assert_eq!((outcome.events, outcome.failure), (vec![message("a", "1")], failure), "{line:?}");
        assert_eq!(outcome.last_event_id, "1");
    }
}

#[test]
fn q14_the_data_of_one_event_is_bounded_as_well() {
    let parser = || EventStreamParser::new("").with_line_bytes_max(10);
    let failure = Some(LineTooLong { line_bytes_max: 10 });
    for (stream, expected) in [
        ("data: 1234\ndata:12345\n\n", None),
        ("data: 1234\ndata:12345\ndata\n\n", failure),
        ("data: 1234\ndata: 1234\ndata:a\n", failure),
        ("data: 1234\n\ndata: 1234\n\ndata: 1234\n\n", None),
    ] {
        let outcome = parse_in_every_chunking(parser, stream.as_bytes());
        assert_eq!(outcome.failure, expected, "{stream:?}");
    }
    // Counted as decoded: four invalid bytes become twelve.
    let outcome = parse_in_every_chunking(parser, b"data: \xff\xff\xff\xff\n\n");
    assert_eq!((outcome.events, outcome.failure), (vec![], failure));
}

#[test]
fn q14_after_a_line_too_long_nothing_more_is_read() {
    let parser = EventStreamParser::new("").with_line_bytes_max(10);
    let outcome = parse(parser, [&b"data: a\n\ndata: 12345"[..], b"\n\n", b"id: 1\ndata: b\n\n"]);
    assert_eq!(outcome.events, [message("a", "")]);
    assert_eq!(outcome.last_event_id, "");
    assert_eq!(outcome.failure, Some(LineTooLong { line_bytes_max: 10 }));
}

#[test]
fn q14_by_default_a_mebibyte_of_text_fits_when_json_grows_it_sixfold() {
    let data = "\\u001b".repeat(1 << 20);
    let stream = format!("data: {data}\n\n");
    let outcome = parse(EventStreamParser::new(""), stream.as_bytes().chunks(64 << 10));
    assert_eq!((outcome.events.len(), outcome.failure), (1, None));
    assert!(outcome.events[0].data == data, "the data differs");

    let comment = vec![b':'; LINE_BYTES_MAX + 1];
    let outcome = parse(EventStreamParser::new(""), comment.chunks(64 << 10));
    assert_eq!(outcome.failure, Some(LineTooLong { line_bytes_max: LINE_BYTES_MAX }));
}

#[test]
fn a_long_line_byte_by_byte_is_read_and_its_memory_given_back() {
    // A parser that searches its buffer anew for each byte would need minutes here.
    let data = "x".repeat(1 << 20);
    let mut parser = EventStreamParser::new("");
    let mut events = Vec::new();
    for byte in format!("data: {data}\n\n").as_bytes().chunks(1) {
        parser.push(byte, &mut events).expect("below the bound");
    }
    assert!(events == [message(&data, "")], "the data differs");
    assert!(parser.unfinished_line.capacity() <= KEPT_BYTES_MAX);
    assert!(parser.block.data.value.capacity() <= KEPT_BYTES_MAX);
}

/// Reads a whole stream by the standard's rules in the standard's words: decode, split, then the three buffers. Slow
/// and unbounded, hence easy to compare with the text.
fn read_as_the_standard_words_it(stream: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut data_buffer, mut event_type_buffer, mut id_buffer) =
        (String::new(), String::new(), String::new());
    let mut outcome =
        Outcome { events: Vec::new(), last_event_id: String::new(), retry: None, failure: None };
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if line.is_empty() {
            outcome.last_event_id.clone_from(&id_buffer);
            if !data_buffer.is_empty() {
                let data = data_buffer.strip_suffix('\n').expect("each field appends an LF");
                let name = if event_type_buffer.is_empty() { "message" } else { &event_type_buffer };
                outcome.events.push(event(name, data, &id_buffer));
            }
            data_buffer.clear();
            event_type_buffer.clear();
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event_type_buffer = value.to_owned(),
            "data" => data_buffer += &format!("{value}\n"),
            "id" if !value.contains('\0') => id_buffer = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                outcome.retry = value.parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
    }
    outcome
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r"), Just("\r\n")]
}

fn byte_order_mark() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 2 => Just("\u{feff}"), 1 => Just("\u{feff}\u{feff}")]
}

/// Makes lines from well-formed to malformed.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => Just("data"), 2 => Just("id"), 2 => Just("event"), 2 => Just("retry"), 1 => Just(""),
        1 => Just("Data"), 1 => Just("dat"), 1 => Just(" data"), 1 => Just("\u{feff}data"),
        1 => Just("other"),
    ];
    let colon = prop_oneof![1 => Just(""), 2 => Just(":"), 4 => Just(": "), 1 => Just(":  ")];
    // Digits enough for a retry, but too few to overflow the standard's reader above.
    let value = prop_oneof![
        3 => "[0-9]{0,18}".prop_map(String::into_bytes),
        3 => "[ :a-c\0é€🦀\u{feff}]{0,6}".prop_map(String::into_bytes),
        2 => prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xff_u8], 0..6),
    ];
    let field = (name, colon, value).prop_map(|(name, colon, value)| {
        let value = value.into_iter().filter(|byte| !b"\r\n".contains(byte));
        name.bytes().chain(colon.bytes()).chain(value).collect()
    });
    prop_oneof![2 => Just(Vec::new()), 5 => field]
}

/// Makes streams of [`any_line`]; the last line may lack its end.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec((any_line(), line_end()), 0..24);
    (byte_order_mark(), lines, any_line()).prop_map(|(mark, lines, last)| {
        let mut stream = mark.as_bytes().to_vec();
        for (line, end) in lines {
            stream.extend(line);
            stream.extend(end.bytes());
        }
        stream.extend(last);
        stream
    })
}

/// Makes streams that `sse-stream` and the standard read alike. The crate refuses invalid UTF-8, so values are text. It
/// drops a retry beyond `u64`, so digits are few. It holds a retry back until the block ends, so every stream ends with
/// its block. Nothing else is left out.
fn well_formed_stream() -> impl Strategy<Value = Vec<u8>> {
    let value = || "[ :a-c0-9\0é€🦀\u{feff}]{0,8}";
    let bare = prop::sample::select(vec!["data", "id", "event", "retry", "other: a"]);
    let field = prop_oneof![
        4 => value().prop_map(|value| format!("data: {value}")),
        1 => value().prop_map(|value| format!("data:{value}")),
        2 => value().prop_map(|value| format!("id: {value}")),
        1 => value().prop_map(|value| format!("event: {value}")),
        1 => "[0-9]{0,18}x{0,1}".prop_map(|value| format!("retry: {value}")),
        1 => value().prop_map(|value| format!(":{value}")),
        1 => bare.prop_map(str::to_owned),
        3 => Just(String::new()),
    ];
    let lines = prop::collection::vec((field, line_end()), 0..24);
    (byte_order_mark(), lines).prop_map(|(mark, lines)| {
        let lines: String = lines.into_iter().flat_map(|(line, end)| [line, end.to_owned()]).collect();
        format!("{mark}{lines}\n\n").into_bytes()
    })
}

fn any_cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

/// Cuts `stream` into the chunks that `cuts` leave, some of them empty.
fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(stream.len());
    let starts = [0].into_iter().chain(ends.clone());
    starts.zip(ends.clone()).map(|(start, end)| &stream[start..end]).collect()
}

/// Reads the stream with `sse-stream`. The crate yields blocks as sent, even without data. Its caller carries the id on
/// and leaves out blocks without data, so both happen here.
fn read_with_sse_stream(chunks: Vec<&[u8]>) -> Outcome {
    let body = futures_util::stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
    let blocks = sse_stream::SseByteStream::new(body).try_collect::<Vec<_>>().now_or_never();
    let blocks = blocks.expect("all chunks are there").expect("well-formed");
    let mut outcome =
        Outcome { events: Vec::new(), last_event_id: String::new(), retry: None, failure: None };
    for block in blocks {
        outcome.retry = block.retry.map(Duration::from_millis).or(outcome.retry);
        outcome.last_event_id = block.id.unwrap_or(outcome.last_event_id);
        if let Some(data) = block.data {
            let name = block.event.filter(|name| !name.is_empty());
            let name = name.as_deref().unwrap_or("message");
            outcome.events.push(event(name, &data, &outcome.last_event_id));
        }
    }
    outcome
}

proptest! {
    #[test]
    fn any_stream_reads_as_the_standard_words_it_in_every_chunking(
        stream in any_stream(),
        cuts in any_cuts(),
    ) {
        let expected = read_as_the_standard_words_it(&stream);
        prop_assert_eq!(&parse_in_every_chunking(|| EventStreamParser::new(""), &stream), &expected);
        prop_assert_eq!(&parse(EventStreamParser::new(""), cut(&stream, &cuts)), &expected);
    }

    #[test]
    fn a_bound_is_passed_or_kept_in_every_chunking(
        stream in any_stream(),
        cuts in any_cuts(),
        line_bytes_max in 0_usize..24,
    ) {
        let parser = || EventStreamParser::new("").with_line_bytes_max(line_bytes_max);
        let whole = parse_in_every_chunking(parser, &stream);
        prop_assert_eq!(&parse(parser(), cut(&stream, &cuts)), &whole);
        prop_assert!(whole.events.iter().all(|event| event.data.len() <= line_bytes_max));
    }

    #[test]
    fn a_well_formed_stream_reads_as_in_sse_stream(stream in well_formed_stream(), cuts in any_cuts()) {
        let outcome = parse(EventStreamParser::new(""), cut(&stream, &cuts));
        prop_assert_eq!(outcome, read_with_sse_stream(cut(&stream, &cuts)));
    }

    #[test]
    fn any_text_without_cr_survives_framing(
        texts in prop::collection::vec("([^\r]|\n|\0|[: ]|\u{feff}){0,24}", 0..6),
        cuts in any_cuts(),
    ) {
        let mut stream = String::new();
        for text in &texts {
            stream.extend(text.split('\n').map(|line| format!("data: {line}\n")));
            stream.push('\n');
        }
        let expected: Vec<Event> = texts.iter().map(|text| message(text, "")).collect();
        let outcome = parse(EventStreamParser::new(""), cut(stream.as_bytes(), &cuts));
        prop_assert_eq!((outcome.events, outcome.failure), (expected, None));
    }
}
