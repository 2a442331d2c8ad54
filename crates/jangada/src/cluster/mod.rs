//! Clusters of real processes on this machine: where everything lies (`layout`), the processes (`process`), starting
//! and stopping them (`run`), how they are (`status`), and changes asked of the leader (`admin`).

pub mod admin;
pub mod layout;
pub mod process;
pub mod run;
pub mod status;
