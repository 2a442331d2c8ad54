//! The readers of the event stream against golden files (`UPDATE=1` rewrites them; review the diff as prose), and
//! the checkers of histories against histories that are known to be right or wrong.

mod brute;
mod generate;
mod golden;
mod histories;
mod history_lines;
mod jsonl;
mod lab;
mod merging;
mod metrics;
mod painters;
mod real_core;
mod safety;
mod samples;
mod searches;
mod timeline;
mod witnesses;
mod words;
