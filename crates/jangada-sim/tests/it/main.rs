//! Whole worlds: drawn from seeds, driven by hand, and told as scripts.

mod by_hand;
mod exercise;
mod explore;
mod images;
mod plans;
mod records;
mod scripts;
mod seeds;
mod shrink;
mod users; // who may what, while servers die
