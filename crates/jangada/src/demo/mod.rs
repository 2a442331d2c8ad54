//! The demonstration: a story on real processes in which each claim is checked. `story` is the plot, `stage` the
//! servers (which never outlive it), `load` the clients, `ledger` what was acknowledged, `teller` how it is told.

mod ledger;
mod load;
mod stage;
mod story;
mod teller;

pub use story::tell;
