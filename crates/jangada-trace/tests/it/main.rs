//! The readers of the event stream against golden files. `UPDATE=1` rewrites them; review the diff as prose.

mod golden;
mod jsonl;
mod lab;
mod metrics;
mod samples;
mod words;
