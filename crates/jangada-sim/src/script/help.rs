//! The commands with a line of help each, and the other words that the language knows. docs/scripts.md says the
//! same at greater length, and a test holds the two together.

use jangada_trace::language::Language;
use jangada_trace::say;

/// A group of commands that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Before the first server starts.
    Stage,
    /// What clients ask.
    Clients,
    /// What befalls servers.
    Servers,
    /// What befalls messages.
    Network,
    /// Who belongs to the cluster.
    Members,
    /// Time, and what must be so.
    Checks,
    /// Looking.
    Looking,
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// Its first word.
    pub name: &'static str,
    /// Where it belongs.
    pub group: Group,
    /// How it is written.
    pub usage: &'static str,
    /// What it does.
    pub does: &'static str,
    /// A line that parses.
    pub example: &'static str,
}

const fn help(
    group: Group,
    name: &'static str,
    usage: &'static str,
    does: &'static str,
    example: &'static str,
) -> Help {
    Help { name, group, usage, does, example }
}

/// All commands, in the order in which one meets them.
#[rustfmt::skip]
pub const COMMANDS: &[Help] = &[
    help(Group::Stage, "servers", "servers N", "a new world of N servers; everything before is gone", "servers 5"),
    help(Group::Stage, "profile", "profile classic|default", "classic: the paper alone, without PreVote and CheckQuorum", "profile classic"),
    help(Group::Stage, "seed", "seed N", "decides all that chance decides", "seed 7"),
    help(Group::Stage, "config", "config KNOB VALUE", "sets a knob of the servers", "config lease_reads on"),
    help(Group::Stage, "log", "log N TERM.. [at term T]", "server N starts with a log of these terms, and in term T", "log 1 1 1 4 4 5 5 6 6 6"),
    help(Group::Clients, "set", "set K V [at S]", "writes; the value may have spaces", "set d 8"),
    help(Group::Clients, "get", "get K [at S]", "reads, linearizably", "get d at 3"),
    help(Group::Clients, "delete", "delete K [at S]", "removes a key", "delete d"),
    help(Group::Clients, "incr", "incr K [at S]", "adds one and tells the sum: doing it twice would show", "incr hits"),
    help(Group::Clients, "begin", "begin set|get|delete|incr|add|remove|members|transfer …", "asks, and does not wait for the answer", "begin set d 8 at 1"),
    help(Group::Servers, "crash", "crash S..", "power off: what was not synced is lost", "crash leader"),
    help(Group::Servers, "restart", "restart S..", "starts servers on the disks that they left", "restart 2"),
    help(Group::Servers, "pause", "pause S..", "servers stand still; they hear what came when they wake", "pause leader"),
    help(Group::Servers, "resume", "resume S..", "paused servers go on", "resume 2"),
    help(Group::Servers, "campaign", "campaign S", "the server does not wait for its election timeout", "campaign 1"),
    help(Group::Servers, "snapshot", "snapshot S..", "servers take a snapshot, however short their logs are", "snapshot leader"),
    help(Group::Servers, "stall", "stall S..", "what servers write does not become durable", "stall 3"),
    help(Group::Servers, "unstall", "unstall S..", "it does again", "unstall 3"),
    help(Group::Network, "isolate", "isolate S..", "this group hears only itself, the others only one another", "isolate 1 3 4"),
    help(Group::Network, "partition", "partition S.. | S..", "each of these groups hears only itself", "partition 1 2 | 3 4 5"),
    help(Group::Network, "disconnect", "disconnect S..", "each of them hears nobody and is heard by nobody", "disconnect 2"),
    help(Group::Network, "reconnect", "reconnect S..", "each of them hears everybody and is heard again", "reconnect 2"),
    help(Group::Network, "cut", "cut A -> B", "what A sends to B is lost (`A <-> B`: both ways)", "cut 1 -> 2"),
    help(Group::Network, "heal", "heal [A -> B]", "all links are as new, whatever was wrong with them; or this one works again", "heal"),
    help(Group::Network, "lose", "lose PERCENT", "so many of a hundred messages are lost, on all links", "lose 30%"),
    help(Group::Network, "slow", "slow DURATION", "every message takes so much longer (`slow 0s` ends it)", "slow 200ms"),
    help(Group::Network, "hold", "hold [A -> B] [MESSAGE]", "messages that are sent wait for `deliver` or `drop`", "hold 1 -> 2 append"),
    help(Group::Network, "deliver", "deliver [newest|all] [A -> B] [MESSAGE]", "the oldest held message that fits, or the newest, or all, arrives now", "deliver 1 -> 2 vote"),
    help(Group::Network, "drop", "drop [newest|all] [A -> B] [MESSAGE]", "the oldest held message that fits, or the newest, or all, is lost", "drop all 1 -> 2"),
    help(Group::Network, "duplicate", "duplicate [A -> B] [MESSAGE]", "the oldest held message that fits arrives, and is held still", "duplicate 1 -> 2 append"),
    help(Group::Network, "release", "release", "all held messages arrive, and none is held any more", "release"),
    help(Group::Members, "add", "add S..", "servers become voters, in one change; new ones are started", "add 6 7"),
    help(Group::Members, "remove", "remove S..", "servers leave, in one change", "remove 1 2"),
    help(Group::Members, "members", "members S..", "these and no others are voters, in one change", "members 1 2 3"),
    help(Group::Members, "transfer", "transfer S", "the leader hands over to it", "transfer 3"),
    help(Group::Checks, "run", "run DURATION", "lets time pass", "run 300ms"),
    help(Group::Checks, "wait", "wait CONDITION [at most DURATION]", "lets time pass until it is so (5s at most, unless told otherwise)", "wait leader at most 2s"),
    help(Group::Checks, "always", "always CONDITION for DURATION", "lets time pass; it is so all the while", "always no leader for 3s"),
    help(Group::Checks, "expect", "expect CONDITION", "it is so now", "expect value d 8 everywhere"),
    help(Group::Checks, "cannot", "cannot COMMAND", "the command is refused; the reason is told", "cannot crash 9"),
    help(Group::Checks, "mark", "mark", "remembers leader, term and messages sent, to compare with", "mark"),
    help(Group::Checks, "let", "let NAME = S", "gives a server a name that it keeps", "let old = leader"),
    help(Group::Looking, "show", "show [roles|log|terms|members|network|keys] [at S]", "looks; `show` alone asks the cluster for all keys", "show log"),
    help(Group::Looking, "watch", "watch KIND..|nothing", "which events are told as they happen", "watch elections votes"),
    help(Group::Looking, "why", "why S", "what the server does, and what it waits for", "why 5"),
    help(Group::Looking, "help", "help [COMMAND]", "this list, or one line of it", "help cut"),
];

/// How conditions are written, and what each says. After `not`, the opposite.
#[rustfmt::skip]
pub const CONDITIONS: &[(&str, &str, &str)] = &[
    ("leader [S]", "somebody (S) leads in the highest term and has committed an entry of it", "leader 2"),
    ("leader same|changed", "compared with the leader at the `mark`; without one, with who led before something was last done to the servers", "leader changed"),
    ("no leader, one leader, leaders N", "so many running servers believe that they lead", "no leader"),
    ("role S follower|precandidate|candidate|leader", "the server's role", "role 2 follower"),
    ("term T [at S]", "the highest term, or that of S", "term 2 at 3"),
    ("term same|rises", "the highest term, compared in the same way", "term rises"),
    ("vote S none|for S", "whom the server voted for in its term", "vote 2 for 1"),
    ("value K V WHERE", "the applied state has this value", "value d 8 at 2"),
    ("absent K WHERE", "the applied state has no such key", "absent d everywhere"),
    ("committed I WHERE", "the commit index is I or higher", "committed 3 on 2 servers"),
    ("applied I WHERE", "I or more is applied", "applied 3 everywhere"),
    ("snapshot I WHERE", "a durable snapshot stands for I or more", "snapshot 3 at 1"),
    ("last I WHERE", "the log ends with entry I", "last 3 everywhere"),
    ("log S TERM..", "the terms of the entries in memory", "log 1 1 1 2"),
    ("equal logs", "the running servers' logs are equal", "equal logs"),
    ("settled", "equal logs, and all of it applied", "settled"),
    ("members S.. [at S]", "these are the voters, and that is committed", "members 1 2 3"),
    ("joint [at S]", "C_old,new is in force", "joint"),
    ("learner S", "the leader sends to it, and its vote does not count", "learner 4"),
    ("answer TEXT", "the last answer begins so", "answer OK"),
    ("refused", "the last request had no effect", "refused"),
    ("answers", "all requests that were begun have their answers", "answers"),
    ("up S, down S", "the server runs, or not", "down 2"),
    ("held N [A -> B] [MESSAGE]", "so many messages are held", "held 0"),
    ("wrote at most|at least|exactly N at S", "changes and syncs of its disk since the `mark`", "wrote exactly 0 at 2"),
    ("sent at most|at least|exactly N [A -> B] [MESSAGE]", "messages sent since the `mark`", "sent exactly 1 2 -> 1 vote-reply"),
];

/// The kinds of messages.
pub const MESSAGES: &[&str] = &[
    "prevote",
    "prevote-reply",
    "vote",
    "vote-reply",
    "append",
    "heartbeat",
    "append-reply",
    "snapshot",
    "snapshot-reply",
    "timeout-now",
    "read-index",
    "read-index-reply",
    "forward",
];

/// The kinds of events that `watch` knows.
pub const KINDS: &[&str] = &[
    "leaders",
    "elections",
    "votes",
    "terms",
    "log",
    "commits",
    "members",
    "snapshots",
    "reads",
    "messages",
    "clients",
];

/// The knobs that `config` knows, with what each takes.
#[rustfmt::skip]
pub const KNOBS: &[(&str, &str)] = &[
    ("election_timeout", "a range of durations, `150ms..300ms`"),
    ("heartbeat_interval", "a duration"),
    ("commit_notice_after", "a duration"),
    ("pre_vote", "on or off"),
    ("check_quorum", "on or off"),
    ("lease_reads", "on or off"),
    ("max_append_entries", "a number"),
    ("max_inflight_messages", "a number"),
    ("snapshot_chunk_bytes", "a number"),
    ("keep_bytes_behind_snapshot", "a number"),
    ("snapshot_after_bytes", "a number"),
    ("caught_up_entries", "a number"),
    ("delay", "a range of durations: how long a message takes"),
];

/// The command of this name.
#[must_use]
pub fn of(name: &str) -> Option<&'static Help> {
    COMMANDS.iter().find(|help| help.name == name)
}

/// What a command's help says besides: the conditions that it takes.
#[must_use]
pub fn more(language: Language, name: &str) -> Vec<String> {
    if !["wait", "always", "expect"].contains(&name) {
        return Vec::new();
    }
    let one = |(usage, says, _): &(&str, &str, &str)| format!("  {usage:<50} {}", language.of(says));
    let mut lines = vec![say!(language, "CONDITION is one of these, or `not` before one of them:")];
    lines.extend(CONDITIONS.iter().map(one));
    lines.push(say!(language, "WHERE is `at S`, `on N servers` or `everywhere`."));
    lines
}

/// One line for a command: `cut A -> B    what A sends to B is lost`.
#[must_use]
pub fn line(language: Language, help: &Help) -> String {
    format!("{:<44} {}", help.usage, language.of(help.does))
}
