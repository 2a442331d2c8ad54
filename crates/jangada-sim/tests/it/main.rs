//! Whole worlds: drawn from seeds, and driven by hand.

mod by_hand;
mod seeds;
