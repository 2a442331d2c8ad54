//! A bug on purpose, of the kind that is looked for elsewhere: a length that is believed. Chance alone does not find it
//! (2^40 inputs for each that does); whoever is led by coverage does, in seconds.

/// Takes `JANG`, a length, and so many bytes.
pub(crate) fn run(input: &[u8]) {
    let magic = [b'J', b'A', b'N', b'G'];
    for (at, byte) in magic.iter().enumerate() {
        if input.get(at) != Some(byte) {
            return;
        }
    }
    if let Some(&length) = input.get(4) {
        let body = &input[5..5 + usize::from(length)];
        assert!(body.len() <= input.len());
    }
}
