//! The words of `jangada ctl`: etcdctl's, each with its options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{EnumValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::grammar_users::{AuthWord, RoleWord, UserWord};
use super::print::Format;
use crate::output::Shape;

const EXAMPLES: &str = "\
Examples:
  $ jangada cluster up 3
  $ jangada ctl put greeting hello
  $ jangada ctl get greeting
  $ jangada ctl -o table status
  $ jangada ctl del greeting
  $ jangada cluster down

Where nothing else is said, JANGADA_ENDPOINTS or ETCDCTL_ENDPOINTS name the servers, JANGADA_USER or ETCDCTL_USER who \
asks. Any server of etcd's API will do.

Exit codes: 0 ok, 1 no or not found (also a txn whose comparisons do not hold), 2 usage, 3 unreachable, no quorum or \
outcome unknown, 4 refused, 5 data corrupt, 124 deadline.";

/// Whom to ask, how, and what.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The servers' client addresses; any that answers will do [default: 127.0.0.1:2379, :2381 and :2383]
    #[arg(long, global = true, env = "JANGADA_ENDPOINTS", value_delimiter = ',', value_name = "HOST:PORT,…")]
    pub endpoints: Option<Vec<String>>,
    /// Who asks; without a password it is asked for
    // Not by the name of the field: a user is also what some words are about.
    #[arg(
        id = "login",
        long = "user",
        global = true,
        env = "JANGADA_USER",
        hide_env_values = true,
        value_name = "NAME[:PASSWORD]"
    )]
    pub user: Option<String>,
    /// The password, if --user has none
    #[arg(long, global = true, env = "JANGADA_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// How long an operation may take, repetitions included
    #[arg(long, visible_alias = "command-timeout", global = true, env = "JANGADA_DEADLINE", default_value = "5s",
        value_parser = deadline, value_name = "TIME")]
    pub deadline: Duration,
    /// How answers are printed
    #[arg(short, long, short_alias = 'w', alias = "write-out", global = true, value_parser = format(),
        default_value = "simple", value_name = "FORMAT")]
    pub output: Shape,
    /// What to do.
    #[command(subcommand)]
    pub word: Word,
}

fn format() -> impl TypedValueParser<Value = Shape> {
    EnumValueParser::<Format>::new().map(Shape::Ctl)
}

fn deadline(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "this is no time: 5 and 5s are five seconds, 500ms is half a second".to_owned())?,
    };
    if time.is_zero() { Err("nothing can be done in no time".to_owned()) } else { Ok(time) }
}

/// A server would take a negative one for the newest, and say nothing.
fn revision(text: &str) -> Result<i64, String> {
    let revision: i64 = text.parse().map_err(|error| format!("{error}"))?;
    match revision {
        0.. => Ok(revision),
        _ => Err("there is no such revision: the first is 1; leave --rev out for the newest".to_owned()),
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Word {
    /// Read a key, or a range of keys
    Get(Get),
    /// Write a key; without VALUE, what stands on stdin
    Put(Put),
    /// Delete a key, or a range of keys
    Del(Del),
    /// Hear of changes as they happen, across failures
    Watch(Watch),
    /// Who is there, who leads, and how many more may fail
    Status,
    /// Compare, then do one thing or another, as one step; read from stdin
    Txn {
        /// Ask for the lines
        #[arg(short, long)]
        interactive: bool,
    },
    /// Each endpoint by itself
    Endpoint(Endpoint),
    /// Deadlines that keys share, and that are put off by whoever is alive
    #[command(subcommand)]
    Lease(LeaseWord),
    /// Hold a lock: while a command runs, or until Ctrl+C
    Lock(Lock),
    /// Stand for election and lead until Ctrl+C, or hear who leads
    Elect(Elect),
    /// Who belongs to the cluster
    #[command(subcommand)]
    Member(MemberWord),
    /// Make another member the leader
    MoveLeader {
        /// Its name, or its number in hexadecimal digits
        member: String,
    },
    /// What is wrong with the cluster
    #[command(subcommand)]
    Alarm(AlarmWord),
    /// Forget the history before a revision
    Compaction {
        /// The oldest revision that can be read afterwards
        #[arg(allow_negative_numbers = true)]
        revision: i64,
        /// Wait until it is forgotten indeed
        #[arg(long)]
        physical: bool,
    },
    /// Have etcd's files tidied; ours need none of it
    Defrag,
    /// The keys of a cluster as a file, and a cluster out of such a file
    #[command(subcommand)]
    Snapshot(SnapshotWord),
    /// Whether the cluster can take a load; `jangada load` measures more
    #[command(subcommand)]
    Check(CheckWord),
    /// Who there is
    #[command(subcommand)]
    User(UserWord),
    /// What they may do
    #[command(subcommand)]
    Role(RoleWord),
    /// Whether everybody is asked who they are
    #[command(subcommand)]
    Auth(AuthWord),
}

/// About members, by their names or their numbers in hexadecimal digits.
#[derive(Clone, Debug, Subcommand)]
pub enum MemberWord {
    /// Who belongs to the cluster
    List,
    /// Add a server; ours must run already, with --join
    Add {
        /// Its name
        name: String,
        /// Where other members connect to it
        #[arg(long, value_name = "URL")]
        peer_urls: String,
        /// Without a vote, at first
        #[arg(long)]
        learner: bool,
    },
    /// Remove one
    Remove {
        /// Which
        member: String,
    },
    /// Tell the others that one is elsewhere now
    Update {
        /// Which
        member: String,
        /// Where other members connect to it
        #[arg(long, value_name = "URL")]
        peer_urls: String,
    },
    /// Give a learner a vote
    Promote {
        /// Which
        member: String,
    },
}

/// About alarms.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AlarmWord {
    /// Which there are
    List,
    /// End them all
    Disarm,
}

/// About snapshots.
#[derive(Clone, Debug, Subcommand)]
pub enum SnapshotWord {
    /// Save one of the member that answers first; it is there under its name once it is whole
    Save {
        /// The file
        file: PathBuf,
    },
    /// What is in one
    Status {
        /// The file
        file: PathBuf,
    },
    /// Make a member's data directory of one; run it for each member with the same --initial-cluster
    Restore(Restore),
}

/// What is made of a snapshot.
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The file: ours, or etcd's
    pub file: PathBuf,
    /// The member's name
    #[arg(long, default_value = "n1")]
    pub name: String,
    /// The directory, which must not be there yet
    #[arg(long, default_value = "jangada.data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// All members and their peer addresses, the same text for all of them [default: this one alone]
    #[arg(long, value_name = "n1=http://HOST:PORT,…")]
    pub initial_cluster: Option<String>,
    /// Makes another cluster of the same file and the same members
    #[arg(long, default_value = "etcd-cluster", value_name = "TEXT")]
    pub initial_cluster_token: String,
    /// What etcdctl wants to hear again; --initial-cluster says it
    #[arg(long, value_name = "URL", hide = true)]
    pub initial_advertise_peer_urls: Option<String>,
    /// Take a file without a SHA-256 at its end, such as a copy of etcd's own
    #[arg(long)]
    pub skip_hash_check: bool,
    /// Leave out that users were asked who they are
    #[arg(long)]
    pub without_users: bool,
}

/// What to try.
#[derive(Clone, Debug, Subcommand)]
pub enum CheckWord {
    /// Whether enough is written, fast enough, for ten seconds
    Perf {
        /// How much: s is 150 writes a second, m 1,000, l 8,000, xl 15,000
        #[arg(long, value_enum, default_value = "s")]
        load: Load,
        /// What the keys begin with; they are deleted in the end
        #[arg(long, default_value = "/jangada-check-perf/")]
        prefix: String,
    },
    /// How much space many keys take up
    Datascale {
        /// How much: s is 10,000 keys of 1 KiB, m 100,000, l 1,000,000, xl 3,000,000
        #[arg(long, value_enum, default_value = "s")]
        load: Load,
        /// What the keys begin with; they are deleted in the end
        #[arg(long, default_value = "/jangada-check-datascale/")]
        prefix: String,
    },
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// Little
    S,
    /// More
    M,
    /// Much
    L,
    /// Very much
    Xl,
}

/// Which endpoints.
#[derive(Args, Clone, Debug)]
pub struct Endpoint {
    /// All members, not only those that --endpoints names
    #[arg(long, global = true)]
    pub cluster: bool,
    /// What of them.
    #[command(subcommand)]
    pub word: EndpointWord,
}

/// What to ask an endpoint.
#[derive(Clone, Debug, Subcommand)]
pub enum EndpointWord {
    /// Whether it can answer for the cluster
    Health,
    /// How it stands
    Status,
    /// A hash of its keys at a revision: equal on all members
    Hashkv {
        /// The revision; 0: its newest
        #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = revision)]
        rev: i64,
    },
}

/// About leases. They are named by hexadecimal numbers.
#[derive(Clone, Debug, Subcommand)]
pub enum LeaseWord {
    /// Make one
    Grant {
        /// How many seconds it lives if nobody keeps it alive
        #[arg(allow_negative_numbers = true)]
        ttl: i64,
    },
    /// End one, and delete what is under it
    Revoke {
        /// Which
        #[arg(value_parser = lease_id)]
        lease: i64,
    },
    /// How long one has left
    Timetolive {
        /// Which
        #[arg(value_parser = lease_id)]
        lease: i64,
        /// Tell what is under it, too
        #[arg(long)]
        keys: bool,
    },
    /// Which there are
    List,
    /// Keep one alive, until Ctrl+C
    KeepAlive {
        /// Which
        #[arg(value_parser = lease_id)]
        lease: i64,
        /// Only now
        #[arg(long)]
        once: bool,
    },
}

/// What to hold.
#[derive(Args, Clone, Debug)]
pub struct Lock {
    /// The lock
    pub name: OsString,
    /// For how many seconds it is held if this program dies
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub ttl: i64,
    /// Runs while the lock is held; JANGADA_FENCING_TOKEN and JANGADA_LOCK_KEY are in its environment
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What to lead.
#[derive(Args, Clone, Debug)]
pub struct Elect {
    /// The election
    pub name: OsString,
    /// What the others are told of whoever leads
    pub proposal: Option<OsString>,
    /// Hear who leads
    #[arg(short, long)]
    pub listen: bool,
    /// For how many seconds the leadership is kept if this program dies
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub ttl: i64,
}

/// What to read.
#[derive(Args, Clone, Debug)]
pub struct Get {
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub key: OsString,
    /// All keys from KEY to before this one
    #[arg(allow_negative_numbers = true)]
    pub range_end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long, conflicts_with = "range_end")]
    pub prefix: bool,
    /// All keys from KEY on
    #[arg(long, conflicts_with_all = ["range_end", "prefix"])]
    pub from_key: bool,
    /// So many at most; 0: all
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub limit: i64,
    /// As of this revision; 0: the newest
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = revision)]
    pub rev: i64,
    /// Smallest first, or largest
    #[arg(long, value_enum, ignore_case = true)]
    pub order: Option<Order>,
    /// What to sort by
    #[arg(long, value_enum, ignore_case = true)]
    pub sort_by: Option<SortBy>,
    /// Without values
    #[arg(long)]
    pub keys_only: bool,
    /// Only how many
    #[arg(long)]
    pub count_only: bool,
    /// Only the values
    #[arg(long)]
    pub print_value_only: bool,
    /// l: as fresh as can be; s: what one member knows, also without a leader
    #[arg(long, value_enum, default_value = "l")]
    pub consistency: Consistency,
}

/// The direction of sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Smallest first
    Ascend,
    /// Largest first
    Descend,
}

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// The key
    Key,
    /// How often it was changed
    Version,
    /// When it was created
    Create,
    /// When it was changed last
    Modify,
    /// The value
    Value,
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consistency {
    /// Linearizable
    L,
    /// Serializable
    S,
}

/// What to write.
#[derive(Args, Clone, Debug)]
pub struct Put {
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub key: OsString,
    /// The value
    #[arg(allow_hyphen_values = true)]
    pub value: Option<OsString>,
    /// Put the key under this lease (hexadecimal)
    #[arg(long, value_parser = lease_id, default_value = "0")]
    pub lease: i64,
    /// Tell what was there before
    #[arg(long)]
    pub prev_kv: bool,
    /// Keep the value that is there
    #[arg(long)]
    pub ignore_value: bool,
    /// Keep the lease that is there
    #[arg(long)]
    pub ignore_lease: bool,
}

/// What to delete.
#[derive(Args, Clone, Debug)]
pub struct Del {
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub key: OsString,
    /// All keys from KEY to before this one
    #[arg(allow_negative_numbers = true)]
    pub range_end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long, conflicts_with = "range_end")]
    pub prefix: bool,
    /// All keys from KEY on
    #[arg(long, conflicts_with_all = ["range_end", "prefix"])]
    pub from_key: bool,
    /// Tell what was there before
    #[arg(long)]
    pub prev_kv: bool,
}

/// What to hear of.
#[derive(Args, Clone, Debug)]
pub struct Watch {
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub key: OsString,
    /// All keys from KEY to before this one
    #[arg(allow_negative_numbers = true)]
    pub range_end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long, conflicts_with = "range_end")]
    pub prefix: bool,
    /// All keys from KEY on
    #[arg(long, conflicts_with_all = ["range_end", "prefix"])]
    pub from_key: bool,
    /// From this revision on; 0: from now on
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = revision)]
    pub rev: i64,
    /// Tell what was there before
    #[arg(long)]
    pub prev_kv: bool,
    /// Tell how far the store is while nothing happens
    #[arg(long)]
    pub progress_notify: bool,
    /// End after so many events
    #[arg(long, value_name = "COUNT")]
    pub events: Option<u64>,
    /// Run this for each event; it finds ETCD_WATCH_KEY and its like in its environment
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// A lease as etcdctl prints it.
pub fn lease_id(text: &str) -> Result<i64, String> {
    let id = u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| "a lease is a hexadecimal number")?;
    Ok(id.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_no_time_is_told_how_times_are_written() {
        assert_eq!(deadline("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(deadline("2"), deadline("2s"));
        assert!(deadline("abc").unwrap_err().contains("500ms is half a second"));
        assert!(deadline("0").is_err());
    }
}
