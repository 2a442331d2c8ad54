//! See the crate's description in `Cargo.toml`; the content arrives with the first feature.
