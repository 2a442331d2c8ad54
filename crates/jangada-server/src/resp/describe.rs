//! The commands that need no store: what the connection agrees on, and what the server says about itself.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jangada_kv::Caller;

use super::commands::{Command, Local, SPECS, Spec};
use super::parser::{Arguments, integer};
use super::reply::{Reply, Version};
use super::session::Session;
use super::translate::{Refusal, is, unix_millis, wrong_arity};
use crate::status::RoleName;

/// The version of Redis whose behaviour this server imitates. Clients choose their commands by it.
const REDIS_VERSION: &str = "7.0.15";

/// The commands that consist of others, with the arity of each: negative means at least.
const SUBCOMMANDS: [(Local, &str, i32); 13] = [
    (Local::Client, "getname", 2),
    (Local::Client, "id", 2),
    (Local::Client, "info", 2),
    (Local::Client, "no-evict", 3),
    (Local::Client, "no-touch", 3),
    (Local::Client, "setinfo", 4),
    (Local::Client, "setname", 3),
    (Local::Command, "count", 2),
    (Local::Command, "docs", -2),
    (Local::Command, "info", -2),
    (Local::Command, "list", 2),
    (Local::Config, "get", -3),
    (Local::Config, "resetstat", 2),
];

/// Refuses a subcommand that does not exist or has too many or too few words. Other commands have none.
pub(crate) fn check_subcommand(local: Local, words: Arguments<'_>) -> Result<(), Refusal> {
    let parent = match local {
        Local::Client => "client",
        Local::Command => "command",
        Local::Config => "config",
        Local::Auth
        | Local::Echo
        | Local::Hello
        | Local::Info
        | Local::Ping
        | Local::Select
        | Local::Time
        | Local::Unwatch => return Ok(()),
    };
    let Some(word) = words.get(1) else { return Ok(()) };
    let found = SUBCOMMANDS.iter().find(|(of, name, _)| *of == local && is(word, name));
    let Some((_, name, arity)) = found else {
        let word = String::from_utf8_lossy(&word[..word.len().min(128)]);
        let help = parent.to_uppercase();
        return Err(format!("ERR unknown subcommand '{word}'. Try {help} HELP.").into());
    };
    let least = arity.unsigned_abs() as usize;
    let fits = if *arity < 0 { words.len() >= least } else { words.len() == least };
    if fits { Ok(()) } else { Err(wrong_arity(&format!("{parent}|{name}"))) }
}

/// Answers a command that needs no store.
pub(crate) fn answer(session: &mut Session, local: Local, words: Arguments<'_>, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, session.version);
    match local {
        Local::Ping => match (words.get(1), words.len()) {
            (None, _) => reply.simple("PONG"),
            (Some(text), 2) => reply.bulk(text),
            (Some(_), _) => reply.error(wrong_arity("ping").as_bytes()),
        },
        Local::Echo => reply.bulk(&words[1]),
        Local::Time => {
            let now = unix_millis();
            reply.array(2);
            reply.bulk((now / 1_000).to_string().as_bytes());
            reply.bulk((now % 1_000 * 1_000).to_string().as_bytes());
        }
        Local::Select => match integer(&words[1]) {
            Some(0) => reply.ok(),
            Some(_) => reply.error("ERR DB index is out of range"),
            None => reply.error("ERR value is not an integer or out of range"),
        },
        Local::Auth => match words.len() {
            // A whole one comes here only out of a transaction.
            2 | 3 => reply.error(NO_LOGIN_INSIDE),
            _ => reply.error("ERR syntax error"),
        },
        Local::Unwatch => {
            reply.ok();
            session.unwatch();
        }
        Local::Hello => hello(session, words, out),
        Local::Client => client(session, words, out),
        Local::Command => command(words, &mut reply),
        Local::Config => config(session, words, out),
        Local::Info => {
            let text = info(session, words);
            Reply::new(out, session.version).text(&text);
        }
    }
}

/// Who logs in must wait for it, and a transaction waits for nothing.
const NO_LOGIN_INSIDE: &str = "ERR AUTH inside MULTI is not allowed";

/// `HELLO` where somebody must log in first.
const HELLO_WITHOUT_LOGIN: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                                   HELLO AUTH <user> <pass> option can be used to authenticate the client and \
                                   select the RESP protocol version at the same time";

/// `HELLO [version [AUTH user password] [SETNAME name]]`
fn hello(session: &mut Session, words: Arguments<'_>, out: &mut Vec<u8>) {
    match hello_options(session.version, words) {
        Err(refusal) => Reply::new(out, session.version).error(refusal.as_bytes()),
        Ok(HelloOptions { login: Some(_), .. }) => Reply::new(out, session.version).error(NO_LOGIN_INSIDE),
        Ok(_) if session.must_log_in() => Reply::new(out, session.version).error(HELLO_WITHOUT_LOGIN),
        Ok(HelloOptions { version, name, login: None }) => agree(session, version, name, out),
    }
}

/// Agrees on a version and on the client's name, and says hello.
pub(crate) fn agree(session: &mut Session, version: Version, name: Option<&[u8]>, out: &mut Vec<u8>) {
    session.version = version;
    if let Some(name) = name {
        session.name = name.to_vec();
    }
    let mut reply = Reply::new(out, session.version);
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if session.version == Version::Three { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(session.id as i64);
    // Every server of the cluster takes writes, whoever leads: to a client of Redis each one is a master.
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// What `HELLO` asks for.
pub(crate) struct HelloOptions<'a> {
    pub(crate) version: Version,
    /// What the client calls itself.
    pub(crate) name: Option<&'a [u8]>,
    /// User and password.
    pub(crate) login: Option<(&'a [u8], &'a [u8])>,
}

pub(crate) fn hello_options(now: Version, words: Arguments<'_>) -> Result<HelloOptions<'_>, Refusal> {
    let version = match words.get(1).map(integer) {
        None => return Ok(HelloOptions { version: now, name: None, login: None }),
        Some(Some(2)) => Version::Two,
        Some(Some(3)) => Version::Three,
        Some(Some(_)) => return Err("NOPROTO unsupported protocol version".into()),
        Some(None) => return Err("ERR Protocol version is not an integer or out of range".into()),
    };
    let (mut name, mut login) = (None, None);
    let mut at = 2;
    while let Some(option) = words.get(at) {
        match (words.get(at + 1), words.get(at + 2)) {
            (Some(user), Some(password)) if is(option, "auth") => {
                login = Some((user, password));
                at += 3;
            }
            (Some(text), _) if is(option, "setname") => {
                name = Some(printable(text)?);
                at += 2;
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
            }
        }
    }
    Ok(HelloOptions { version, name, login })
}

/// A name that may stand in a list, which spaces and line ends would break.
fn printable(name: &[u8]) -> Result<&[u8], Refusal> {
    if name.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        Ok(name)
    } else {
        Err("ERR Client names cannot contain spaces, newlines or special characters.".into())
    }
}

fn client(session: &mut Session, words: Arguments<'_>, out: &mut Vec<u8>) {
    if let Err(refusal) = check_subcommand(Local::Client, words) {
        return Reply::new(out, session.version).error(refusal.as_bytes());
    }
    let mut reply = Reply::new(out, session.version);
    let word = &words[1];
    if is(word, "id") {
        reply.integer(session.id as i64);
    } else if is(word, "getname") {
        if session.name.is_empty() { reply.null() } else { reply.bulk(&session.name) }
    } else if is(word, "setname") {
        match printable(&words[2]) {
            Ok(name) => {
                session.name = name.to_vec();
                reply.ok();
            }
            Err(refusal) => reply.error(refusal.as_bytes()),
        }
    } else if is(word, "info") {
        let name = String::from_utf8_lossy(&session.name);
        let user = match &session.caller {
            Caller::User { name, .. } => String::from_utf8_lossy(name),
            Caller::Nobody | Caller::Server | Caller::Token(_) => "default".into(),
        };
        let proto = if session.version == Version::Three { 3 } else { 2 };
        reply.text(&format!("id={} name={name} db=0 user={user} resp={proto}\n", session.id));
    } else {
        // What a client tells about itself or asks for memory's sake: nothing depends on it here.
        reply.ok();
    }
}

fn command(words: Arguments<'_>, reply: &mut Reply<'_>) {
    if let Err(refusal) = check_subcommand(Local::Command, words) {
        return reply.error(refusal.as_bytes());
    }
    let asked = || words.from(2).map(Spec::find);
    match words.get(1) {
        Some(word) if is(word, "count") => reply.integer(SPECS.len() as i64),
        Some(word) if is(word, "list") => {
            reply.array(SPECS.len());
            SPECS.iter().for_each(|spec| reply.bulk(spec.name.as_bytes()));
        }
        Some(word) if is(word, "docs") => {
            let specs: Vec<&Spec> =
                if words.len() > 2 { asked().flatten().collect() } else { SPECS.iter().collect() };
            reply.map(specs.len());
            specs.into_iter().for_each(|spec| document(spec, reply));
        }
        Some(_) if words.len() > 2 => {
            reply.array(words.len() - 2);
            asked().for_each(|spec| match spec {
                Some(spec) => describe(spec, reply),
                None => reply.null_array(),
            });
        }
        Some(_) | None => {
            reply.array(SPECS.len());
            SPECS.iter().for_each(|spec| describe(spec, reply));
        }
    }
}

/// One entry of `COMMAND DOCS`.
fn document(spec: &Spec, reply: &mut Reply<'_>) {
    reply.bulk(spec.name.as_bytes());
    reply.map(2);
    for (name, value) in [("summary", spec.summary), ("group", spec.group)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// One entry of `COMMAND INFO`.
fn describe(spec: &Spec, reply: &mut Reply<'_>) {
    let flags = || spec.flags.split_ascii_whitespace();
    let has = |flag: &str| flags().any(|other| other == flag);
    let mut categories = Vec::new();
    categories.extend(has("readonly").then_some("@read"));
    categories.extend(has("write").then_some("@write"));
    categories.push(if has("fast") { "@fast" } else { "@slow" });
    categories.extend(match (spec.group, spec.command) {
        ("string", _) => Some("@string"),
        ("connection", _) => Some("@connection"),
        ("transactions", _) => Some("@transaction"),
        (_, Command::Store(_)) => Some("@keyspace"),
        (_, Command::Local(_) | Command::Bracket(_)) => None,
    });
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(spec.arity.into());
    reply.set(flags().count());
    flags().for_each(|flag| reply.simple(flag));
    for place in [spec.first_key, spec.last_key, spec.key_step] {
        reply.integer(place.into());
    }
    reply.set(categories.len());
    categories.into_iter().for_each(|category| reply.simple(category));
    // No hints for proxies, no key specifications beyond the three numbers, no subcommands.
    (0..3).for_each(|_| reply.array(0));
}

/// `CONFIG GET pattern …`: the few settings that tools look for, spelt as Redis spells them.
fn config(session: &Session, words: Arguments<'_>, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, session.version);
    if let Err(refusal) = check_subcommand(Local::Config, words) {
        return reply.error(refusal.as_bytes());
    }
    if is(&words[1], "resetstat") {
        return reply.ok();
    }
    let limits = &session.shared.limits;
    let known = [
        // Every write is in the log before it is answered, and there are no timed dumps.
        ("appendonly", "yes".to_owned()),
        ("appendfsync", "always".to_owned()),
        ("save", String::new()),
        ("databases", "1".to_owned()),
        ("maxclients", limits.connections.to_string()),
        ("timeout", limits.idle_time.as_secs().to_string()),
        ("proto-max-bulk-len", limits.bulk_bytes.to_string()),
    ];
    let asked: Vec<_> = known
        .iter()
        .filter(|(name, _)| words.from(2).any(|pattern| pattern == b"*" || is(pattern, name)))
        .collect();
    reply.map(asked.len());
    for (name, value) in asked {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// `INFO [section …]`
fn info(session: &Session, words: Arguments<'_>) -> String {
    let shared = &session.shared;
    let status = shared.handle.status();
    let counters = &shared.counters;
    let port = shared.client_addr.rsplit(':').next().unwrap_or("0");
    let leads = u8::from(status.role == RoleName::Leader);
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    let sections = [
        (
            "Server",
            vec![
                ("redis_version", REDIS_VERSION.to_owned()),
                ("redis_mode", "standalone".to_owned()),
                ("jangada_version", status.version.clone()),
                ("process_id", status.pid.to_string()),
                ("tcp_port", port.to_owned()),
                ("uptime_in_seconds", (status.uptime_ms / 1_000).to_string()),
                ("uptime_in_days", (status.uptime_ms / 86_400_000).to_string()),
            ],
        ),
        (
            "Clients",
            vec![
                ("connected_clients", counters.open_connections().to_string()),
                ("maxclients", shared.limits.connections.to_string()),
            ],
        ),
        ("Persistence", vec![("loading", "0".to_owned()), ("aof_enabled", "1".to_owned())]),
        (
            "Stats",
            vec![
                ("total_connections_received", count(&counters.accepted).to_string()),
                ("total_commands_processed", counters.all_commands().to_string()),
                ("rejected_connections", count(&counters.turned_away).to_string()),
            ],
        ),
        ("Replication", vec![("role", "master".to_owned()), ("connected_slaves", "0".to_owned())]),
        (
            "Raft",
            vec![
                ("raft_name", status.name.clone()),
                ("raft_role", status.role.as_str().to_owned()),
                ("raft_is_leader", leads.to_string()),
                ("raft_term", status.term.to_string()),
                ("raft_leader", status.leader.clone().unwrap_or_default()),
                ("raft_leader_client_addr", status.leader_client_addr.clone().unwrap_or_default()),
                ("raft_commit_index", status.commit_index.to_string()),
                ("raft_applied_index", status.applied_index.to_string()),
                ("raft_last_index", status.last_index.to_string()),
                ("raft_problem", status.problem.clone().unwrap_or_default()),
            ],
        ),
        ("Keyspace", vec![("db0", format!("keys={},expires=0,avg_ttl=0", status.keys))]),
    ];
    let all = words.len() < 2
        || words.from(1).any(|word| is(word, "all") || is(word, "default") || is(word, "everything"));
    let mut text = String::new();
    for (title, lines) in sections {
        if all || words.from(1).any(|word| word.eq_ignore_ascii_case(title.as_bytes())) {
            let _ = write!(text, "{}# {title}\r\n", if text.is_empty() { "" } else { "\r\n" });
            for (name, value) in lines {
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
    }
    text
}

/// The refusal of a command of no known name, with the beginning of what it came with, byte for byte.
pub(crate) fn unknown_command(name: &[u8], words: Arguments<'_>) -> Vec<u8> {
    const SHOWN: usize = 128;
    let mut with = Vec::new();
    for word in words.from(1) {
        if with.len() >= SHOWN {
            break;
        }
        let shown = word.len().min(SHOWN - with.len());
        with.push(b'\'');
        with.extend_from_slice(&word[..shown]);
        with.extend_from_slice(b"' ");
    }
    let name = &name[..name.len().min(SHOWN)];
    [b"ERR unknown command '", name, b"', with args beginning with: ", &with].concat()
}
