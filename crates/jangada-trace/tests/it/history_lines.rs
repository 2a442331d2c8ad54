//! Histories as text.

use jangada_trace::history::History;

use crate::generate::{Chance, Mix, Shape, correct};

const SHAPE: Shape = Shape {
    operations: 200,
    keys: 3,
    overlap: 4,
    unanswered: 20,
    refused: 10,
    unique_values: false,
    mix: Mix::All,
    revisions: true,
};

#[test]
fn what_is_written_is_read_again() {
    for seed in 0..10 {
        let history = correct(&mut Chance::new(seed), SHAPE);
        assert_eq!(History::from_lines(&history.to_lines()), Ok(history), "seed {seed}");
    }
}

#[test]
fn a_line_says_what_was_asked_and_answered() {
    let history =
        correct(&mut Chance::new(1), Shape { operations: 1, mix: Mix::Registers, unanswered: 0, ..SHAPE });
    let text = history.to_lines();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(r#"{"jangada_history":1}"#));
    let line = lines.next().unwrap();
    for field in
        [r#""client":"#, r#""invoked_ns":"#, r#""asked":"#, r#""request":""#, r#""outcome":""#, r#""at_ns":"#]
    {
        assert!(line.contains(field), "{field} is not in {line}");
    }
}

#[test]
fn a_wrong_line_is_named() {
    let first = "{\"jangada_history\":1}\n";
    let operation = |fields: &str| format!("{first}\n{{\"client\":1,\"invoked_ns\":5,{fields}}}\n");
    // 0a is a tick.
    for (text, line, why) in [
        (String::new(), 1, "this text is empty"),
        ("{\"jangada_history\":2}".to_string(), 1, "format 2"),
        ("{\"client\":1}".to_string(), 1, "`jangada_history` is missing"),
        (format!("{first}oops"), 2, "an object was expected at byte 0"),
        (operation("\"request\":\"0a\""), 3, "`outcome` is missing"),
        (operation("\"request\":\"0a\",\"outcome\":\"lost\""), 3, "none of returned, refused and unknown"),
        (operation("\"request\":\"0\",\"outcome\":\"unknown\""), 3, "`request` is not hexadecimal"),
        (operation("\"request\":\"ff\",\"outcome\":\"unknown\""), 3, "255 is not a tag of a request"),
        (operation("\"request\":\"0a\",\"outcome\":\"refused\""), 3, "`at_ns` is missing"),
        (operation("\"request\":\"0a\",\"outcome\":\"refused\",\"at_ns\":4"), 3, "before `invoked_ns`"),
        (
            operation("\"request\":\"0a\",\"outcome\":\"refused\",\"at_ns\":\"4\""),
            3,
            "`at_ns` is not a number",
        ),
    ] {
        let error = History::from_lines(&text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.why.contains(why), "{why:?} is not in: {error}");
    }
    assert_eq!(
        History::from_lines(&operation("\"request\":\"0a\",\"outcome\":\"unknown\""))
            .unwrap()
            .operations()
            .len(),
        1
    );
}
