//! How values become bytes: the small alphabet of all encodings in this crate (requests, responses, snapshots).
//!
//! | value | bytes |
//! |---|---|
//! | unsigned number, length, count | 7 bits a byte, low ones first, the top bit set on all but the last |
//! | signed number | as unsigned after folding the sign into the lowest bit (0, −1, 1, −2 … become 0, 1, 2, 3 …) |
//! | flag | one byte, 0 or 1 |
//! | byte string | its length, then the bytes |
//! | list | the count, then the elements |
//! | optional | flag, then the value if there is one |
//! | structure | its fields in order |
//! | variant of an enum | one byte that names it (the tag), then its fields |
//!
//! Each value has exactly one encoding: a number with needless zero groups is refused. Tags are never used again with
//! another meaning. Decoding does not copy: byte strings are slices that share the buffer.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::types::{LeaseId, Millis, Revision};

/// Deepest nesting of txns that is decoded; one more than the deepest that is accepted.
pub(crate) const MAX_DEPTH: usize = crate::MAX_TXN_OPS + 1;

/// Longest list for which memory is set aside on the word of the sender alone.
const MAX_TRUSTED_COUNT: usize = 256;

/// Why bytes are not an encoded value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end in the middle of a value.
    Truncated,
    /// A tag or a flag has no meaning here.
    UnknownTag {
        /// What was expected.
        what: &'static str,
        /// What came.
        tag: u8,
    },
    /// A number does not fit into 64 bits, or is written longer than needed.
    BadNumber,
    /// Txns are nested too deeply.
    TooDeep,
    /// Bytes are left over after the value.
    TrailingBytes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => f.write_str("the bytes end in the middle of a value"),
            DecodeError::UnknownTag { what, tag } => write!(f, "{tag} is not a tag of {what}"),
            DecodeError::BadNumber => f.write_str("a number is too large or written longer than needed"),
            DecodeError::TooDeep => f.write_str("txns are nested too deeply"),
            DecodeError::TrailingBytes => f.write_str("bytes are left over after the value"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A value that can be written to and read from bytes.
pub(crate) trait Wire: Sized {
    fn encode(&self, into: &mut Vec<u8>);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// The bytes that are being decoded.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// The buffer that `bytes` belong to. If there is none, byte strings are copied.
    shared: Option<&'a Bytes>,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Byte strings will be slices of `bytes`.
    pub(crate) fn shared(bytes: &'a Bytes) -> Reader<'a> {
        Reader { bytes, shared: Some(bytes), at: 0, depth: 0 }
    }

    /// Byte strings will be copies.
    pub(crate) fn borrowed(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, shared: None, at: 0, depth: 0 }
    }

    /// How many bytes have been taken.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// The next byte, which stays where it is.
    pub(crate) fn peek(&self) -> Result<u8, DecodeError> {
        self.bytes.get(self.at).copied().ok_or(DecodeError::Truncated)
    }

    /// A count of things that take at least one byte each.
    fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(u64::decode(self)?).map_err(|_| DecodeError::Truncated)?;
        if count > self.remaining() { Err(DecodeError::Truncated) } else { Ok(count) }
    }

    /// Decodes something that may contain itself.
    pub(crate) fn nested<T>(
        &mut self,
        decode: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        self.depth += 1;
        let value = decode(self);
        self.depth -= 1;
        value
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}

/// Decodes one value that fills `bytes`.
pub(crate) fn decode_all<T: Wire>(bytes: Bytes) -> Result<T, DecodeError> {
    let mut reader = Reader::shared(&bytes);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

impl Wire for u64 {
    fn encode(&self, into: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            into.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        into.push(rest as u8);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = reader.byte()?;
            let group = u64::from(byte & 0x7f);
            if (shift == 63 && group > 1) || (shift > 0 && byte == 0) {
                return Err(DecodeError::BadNumber);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::BadNumber)
    }
}

impl Wire for i64 {
    fn encode(&self, into: &mut Vec<u8>) {
        (((self << 1) ^ (self >> 63)) as u64).encode(into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<i64, DecodeError> {
        let folded = u64::decode(reader)?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

impl Wire for bool {
    fn encode(&self, into: &mut Vec<u8>) {
        into.push(u8::from(*self));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::UnknownTag { what: "a flag", tag }),
        }
    }
}

impl Wire for Bytes {
    fn encode(&self, into: &mut Vec<u8>) {
        encode_bytes(self, into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
        let length = reader.count()?;
        let part = &reader.bytes[reader.at..reader.at + length];
        reader.at += length;
        Ok(reader.shared.map_or_else(|| Bytes::copy_from_slice(part), |shared| shared.slice_ref(part)))
    }
}

/// A byte string that is not held in a `Bytes`.
pub(crate) fn encode_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    (bytes.len() as u64).encode(into);
    into.extend_from_slice(bytes);
}

impl<T: Wire> Wire for Option<T> {
    fn encode(&self, into: &mut Vec<u8>) {
        self.is_some().encode(into);
        if let Some(value) = self {
            value.encode(into);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Option<T>, DecodeError> {
        if bool::decode(reader)? { T::decode(reader).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn encode(&self, into: &mut Vec<u8>) {
        T::encode(self, into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Box<T>, DecodeError> {
        T::decode(reader).map(Box::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn encode(&self, into: &mut Vec<u8>) {
        (self.len() as u64).encode(into);
        for element in self {
            element.encode(into);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Vec<T>, DecodeError> {
        let count = reader.count()?;
        let mut list = Vec::with_capacity(count.min(MAX_TRUSTED_COUNT));
        for _ in 0..count {
            list.push(T::decode(reader)?);
        }
        Ok(list)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn encode(&self, into: &mut Vec<u8>) {
        self.0.encode(into);
        self.1.encode(into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<(A, B), DecodeError> {
        Ok((A::decode(reader)?, B::decode(reader)?))
    }
}

/// `wire_newtype!(Name)`: a structure around one number is encoded as the number.
macro_rules! wire_newtype {
    ($($name:ident),*) => { $(
        impl Wire for $name {
            fn encode(&self, into: &mut Vec<u8>) {
                self.0.encode(into);
            }
            fn decode(reader: &mut Reader<'_>) -> Result<$name, DecodeError> {
                Wire::decode(reader).map($name)
            }
        }
    )* };
}
wire_newtype!(Revision, Millis, LeaseId);

/// `wire_struct!(Name { a, b })`: the fields in the order that is written here.
macro_rules! wire_struct {
    ($($name:ident { $($field:ident),* $(,)? })*) => { $(
        impl $crate::wire::Wire for $name {
            fn encode(&self, into: &mut alloc::vec::Vec<u8>) {
                $( self.$field.encode(into); )*
            }
            fn decode(
                reader: &mut $crate::wire::Reader<'_>,
            ) -> Result<$name, $crate::wire::DecodeError> {
                $( let $field = $crate::wire::Wire::decode(reader)?; )*
                Ok($name { $($field),* })
            }
        }
    )* };
}
pub(crate) use wire_struct;

/// `wire_enum!(Name, "a name" { 1 => Variant, 2 => Variant { a, b }, 3 => Variant(inner) })`: tag and fields.
macro_rules! wire_enum {
    ($name:ident, $what:literal {
        $( $tag:literal => $variant:ident $( { $($field:ident),* } )? $( ( $inner:ident ) )? ),* $(,)?
    }) => {
        impl $crate::wire::Wire for $name {
            fn encode(&self, into: &mut alloc::vec::Vec<u8>) {
                match self { $(
                    $name::$variant $( { $($field),* } )? $( ( $inner ) )? => {
                        into.push($tag);
                        $( $( $field.encode(into); )* )?
                        $( $inner.encode(into); )?
                    }
                )* }
            }
            fn decode(
                reader: &mut $crate::wire::Reader<'_>,
            ) -> Result<$name, $crate::wire::DecodeError> {
                match reader.byte()? {
                    $( $tag => {
                        $( $( let $field = $crate::wire::Wire::decode(reader)?; )* )?
                        $( let $inner = $crate::wire::Wire::decode(reader)?; )?
                        Ok($name::$variant $( { $($field),* } )? $( ( $inner ) )?)
                    } )*
                    tag => Err($crate::wire::DecodeError::UnknownTag { what: $what, tag }),
                }
            }
        }
    };
}
pub(crate) use wire_enum;
