//! `jangada client`: a prompt, a pipe, or one word for scripts.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::client::prompt;
use crate::client::session::Session;
use crate::client::words::{self, Word};
use crate::failure::{Exit, Failure};
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  $ jangada client set hello world
  $ jangada client get hello
  $ jangada client show
  $ jangada client delete hello
  $ jangada client status

Without a word it asks: at a prompt, or line by line from a pipe. `get` of a missing key prints (nil) \
on a terminal and nothing in a pipe, and exits with 1. What certainly had no effect is repeated until \
--timeout; a write whose outcome is unknown is reported (exit code 3) and never repeated.";

/// The servers, and perhaps one thing to do.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Client addresses of the cluster, comma separated; any one is enough, more are safer
    #[arg(
        short,
        long,
        global = true,
        env = "JANGADA_SERVERS",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379",
        value_name = "HOST:PORT,…"
    )]
    pub servers: Vec<String>,
    /// Give up on one operation after this many seconds
    #[arg(long, global = true, env = "JANGADA_TIMEOUT", default_value = "5", value_name = "SECONDS")]
    pub timeout: f64,
    /// A name that the servers show for this client
    #[arg(long, global = true, value_name = "NAME")]
    pub name: Option<String>,
    /// What to do; without it, a prompt
    #[command(subcommand)]
    pub word: Option<OneShot>,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub enum OneShot {
    /// Print the value of a key
    Get {
        /// The key.
        key: OsString,
    },
    /// Give a key a value
    #[command(alias = "put")]
    Set {
        /// The key.
        key: OsString,
        /// The value; several words are joined by a space.
        #[arg(required = true, num_args = 1.., allow_hyphen_values = true, trailing_var_arg = true)]
        value: Vec<OsString>,
    },
    /// Delete keys
    #[command(alias = "del")]
    Delete {
        /// The keys.
        #[arg(required = true)]
        keys: Vec<OsString>,
    },
    /// Print all keys and values
    Show,
    /// How the cluster is: leader, members, who is behind
    Status,
}

/// Carries out the one word, or reads words until there are no more.
///
/// # Errors
/// 1 for a missing key, 3 when nobody answers or an outcome is unknown, 4 when a server refused.
pub fn run(arguments: Arguments, format: Format) -> Result<(), Failure> {
    let timeout = Duration::try_from_secs_f64(arguments.timeout).ok().filter(|timeout| !timeout.is_zero());
    let timeout = timeout.ok_or_else(|| {
        Failure::usage(format!("--timeout {}: not a number of seconds above zero; try 5", arguments.timeout))
    })?;
    let servers: Vec<String> = arguments
        .servers
        .iter()
        .map(|server| server.trim().to_owned())
        .filter(|server| !server.is_empty())
        .collect();
    if servers.is_empty() {
        return Err(Failure::usage("--servers names none; give one HOST:PORT or more"));
    }
    for server in &servers {
        check_address(server)?;
    }
    if arguments.name.as_ref().is_some_and(|name| name.is_empty() || name.contains(char::is_whitespace)) {
        return Err(Failure::usage("--name must be one word without spaces"));
    }
    let mut session = Session::new(servers, timeout).named(arguments.name);
    match arguments.word {
        Some(word) => match words::carry_out(&mut session, &meaning(word), format)? {
            true => Ok(()),
            false => Err(Failure::silent(Exit::No)),
        },
        None if std::io::stdin().is_terminal() => prompt::interactive(&mut session, format),
        None => prompt::piped(&mut session, &mut std::io::stdin().lock(), format),
    }
}

fn meaning(word: OneShot) -> Word {
    match word {
        OneShot::Get { key } => Word::Get(key.into_vec()),
        OneShot::Set { key, value } => {
            let value: Vec<Vec<u8>> = value.into_iter().map(OsString::into_vec).collect();
            Word::Set(key.into_vec(), value.join(&b' '))
        }
        OneShot::Delete { keys } => Word::Delete(keys.into_iter().map(OsString::into_vec).collect()),
        OneShot::Show => Word::Show,
        OneShot::Status => Word::Status,
    }
}

/// Whether this reads as `HOST:PORT`.
///
/// # Errors
/// Says what is missing.
pub fn check_address(address: &str) -> Result<(), Failure> {
    let right =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match right {
        true => Ok(()),
        false => {
            Err(Failure::usage(format!("{address:?} is no address; write HOST:PORT, such as 127.0.0.1:2379")))
        }
    }
}
