//! `jangada ping` and `jangada cluster ping`: the way to servers' peer ports, without Raft.

use std::time::Duration;

use clap::Args;
use jangada_server::{Echo, NoEcho, echo};
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada ping 127.0.0.1:2380
  $ jangada ping --count 100 127.0.0.1:2380 127.0.0.1:2382

It connects to the peer port, greets as a member does, and sends numbers in the frames that members send: each must \
come back doubled. No Raft has a part in it: what fails here is the network, a port, a version or the process. Exit \
code 3 if any of the ways does not work.";

/// Which peer ports.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Peer addresses of servers
    #[arg(required = true, value_name = "HOST:PORT")]
    pub addresses: Vec<String>,
    /// How many numbers go to each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub count: u32,
}

/// `ping`.
///
/// # Errors
/// An address cannot be used; or, with exit code 3, a way does not work.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    for address in &arguments.addresses {
        super::client::check_address(address)?;
    }
    let targets: Vec<(String, String)> =
        arguments.addresses.iter().map(|address| (address.clone(), address.clone())).collect();
    try_all(targets, arguments.count, format)
}

/// Tries the ways to these (name, peer address), all at the same time, and prints what came of it.
///
/// # Errors
/// Exit code 3 if one does not work.
pub fn try_all(targets: Vec<(String, String)>, count: u32, format: Format) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::new(Exit::No, format!("no runtime: {why}")))?;
    let tried = runtime.block_on(async {
        let tries = targets.iter().map(|(_, address)| async move {
            let numbers: Vec<u64> = (1..=u64::from(count)).collect();
            echo(address, &numbers).await
        });
        futures_util::future::join_all(tries).await
    });
    match format {
        Format::Json => output::json(&as_json(&targets, &tried))?,
        Format::Text => {
            let rows = targets.iter().zip(&tried).map(|(target, came)| row(target, came));
            output::line(&output::table(
                &["SERVER", "PEER PORT", "GREETING", "N → 2N", "FASTEST", "SLOWEST"],
                rows.collect(),
            ))?;
        }
    }
    let broken: Vec<String> = (targets.iter().zip(&tried))
        .filter_map(|((name, address), came)| {
            Some(format!("{} {}", called(name, address), came.as_ref().err()?))
        })
        .collect();
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::unreachable(broken.join("\n         "))),
    }
}

fn called(name: &str, address: &str) -> String {
    if name == address { format!("{address}:") } else { format!("{name} at {address}:") }
}

fn row((name, address): &(String, String), came: &Result<Echo, NoEcho>) -> Vec<String> {
    match came {
        Ok(echo) => {
            let extreme = |time: Option<&Duration>| time.map_or("-".to_owned(), |time| millis(*time));
            vec![
                echo.name.clone(),
                address.clone(),
                millis(echo.greeting),
                format!("{} of {}", echo.rounds.len(), echo.rounds.len()),
                extreme(echo.rounds.iter().min()),
                extreme(echo.rounds.iter().max()),
            ]
        }
        Err(_) => {
            let name = if name == address { "?" } else { name };
            [name, address, "-", "none", "-", "-"].map(str::to_owned).to_vec()
        }
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn as_json(targets: &[(String, String)], tried: &[Result<Echo, NoEcho>]) -> serde_json::Value {
    let seconds = |time: &Duration| time.as_secs_f64();
    let servers = targets.iter().zip(tried).map(|((_, address), came)| match came {
        Ok(echo) => json!({
            "peer_addr": address, "ok": true, "name": echo.name,
            "cluster": echo.cluster.map(|cluster| format!("{cluster:016x}")),
            "greeting_seconds": seconds(&echo.greeting),
            "round_seconds": echo.rounds.iter().map(seconds).collect::<Vec<_>>(),
        }),
        Err(why) => json!({ "peer_addr": address, "ok": false, "error": why.to_string() }),
    });
    json!({ "servers": servers.collect::<Vec<_>>() })
}
