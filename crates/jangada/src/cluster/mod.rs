//! Clusters of real processes on this machine: where everything lies (`layout`), the processes (`process`), starting
//! and stopping them (`run`), whose ports they are (`occupied`), how they are (`status`), and changes asked of the leader (`admin`).

pub mod admin;
pub mod layout;
mod occupied;
pub mod process;
pub mod run;
pub mod status;
