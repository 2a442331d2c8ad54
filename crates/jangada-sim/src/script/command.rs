//! What can be said, as plain data: the simulator carries it out, and so may a live cluster's prompt.

use std::time::Duration;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    // ---- The stage: only before the first server has started ------------------------------------------------
    /// `servers N`: a new world of so many servers. Everything before is gone.
    Servers(u64),
    /// `profile classic|default`.
    Profile(Profile),
    /// `seed N`: decides all that chance decides.
    Seed(u64),
    /// `config NAME VALUE`: a knob of the servers.
    Config {
        /// Its name, one of [`super::help::KNOBS`].
        knob: String,
        /// Its value, as it was typed.
        value: String,
    },
    /// `log N TERM.. [at term T]`: the server starts with a log of these terms.
    Log {
        /// Which server.
        server: u64,
        /// The terms of its entries, from index 1 on.
        terms: Vec<u64>,
        /// The server's own term, if it is above that of its last entry.
        term: Option<u64>,
    },

    // ---- Clients -------------------------------------------------------------------------------------------
    /// `set`, `get`, `delete`, `incr`, `show`: a request of a client.
    Client {
        /// What it wants.
        request: Request,
        /// At this server; otherwise at the leader, or at any server that runs.
        at: Option<Server>,
        /// `begin …`: the answer is not waited for.
        begin: bool,
    },

    // ---- Servers -------------------------------------------------------------------------------------------
    /// `crash S..`: power off; what was not synced is lost.
    Crash(Vec<Server>),
    /// `restart S..`: on the disks that they left.
    Restart(Vec<Server>),
    /// `pause S..`: they stand still and hear what came when they wake.
    Pause(Vec<Server>),
    /// `resume S..`.
    Resume(Vec<Server>),
    /// `campaign S`: without waiting for its election timeout.
    Campaign(Server),
    /// `snapshot S..`: takes a snapshot now.
    Snapshot(Vec<Server>),
    /// `stall S..`: what they write does not become durable.
    Stall(Vec<Server>),
    /// `unstall S..`.
    Unstall(Vec<Server>),

    // ---- The network ---------------------------------------------------------------------------------------
    /// `isolate S..`: this group hears only itself, the others only one another.
    Isolate(Vec<Server>),
    /// `partition S.. | S..`: each of these groups hears only itself.
    Partition(Vec<Vec<Server>>),
    /// `disconnect S..`: each of them hears nobody and is heard by nobody.
    Disconnect(Vec<Server>),
    /// `reconnect S..`.
    Reconnect(Vec<Server>),
    /// `cut A -> B`: what A sends to B is lost.
    Cut(Link),
    /// `heal`, or `heal A -> B`: all links, or this one, work again.
    Heal(Option<Link>),
    /// `lose PERCENT`: so many of a hundred messages are lost, on all links.
    Lose(u8),
    /// `slow DURATION`: every message takes so much longer.
    Slow(Duration),
    /// `hold`: messages that are sent wait until they are delivered or dropped by hand.
    Hold(Pick),
    /// `deliver`: the oldest held message that fits, or the newest, or all of them, arrives now.
    Deliver {
        /// Which.
        pick: Pick,
        /// Which of those that fit.
        which: Which,
    },
    /// `drop`: the oldest held message that fits, or the newest, or all of them, is lost.
    Drop {
        /// Which.
        pick: Pick,
        /// Which of those that fit.
        which: Which,
    },
    /// `duplicate`: the oldest held message that fits arrives now, and is held as before.
    Duplicate(Pick),
    /// `release`: all held messages arrive, and none is held any more.
    Release,

    // ---- Members -------------------------------------------------------------------------------------------
    /// `add S..`: they become voters, in one change.
    Add(Change),
    /// `remove S..`: they leave, in one change.
    Remove(Change),
    /// `members S..`: these and no others are voters, in one change.
    Members(Change),
    /// `transfer S`: the leader hands over to it.
    Transfer {
        /// To whom.
        to: Server,
        /// This server is asked; otherwise the leader.
        at: Option<Server>,
        /// `begin …`: the outcome is not waited for.
        begin: bool,
    },

    // ---- Time and checks -----------------------------------------------------------------------------------
    /// `run DURATION`.
    Run(Duration),
    /// `wait CONDITION [at most DURATION]`.
    Wait(Condition, Option<Duration>),
    /// `always CONDITION for DURATION`: true now and all the while.
    Always(Condition, Duration),
    /// `expect CONDITION`: true now.
    Expect(Condition),
    /// `cannot COMMAND`: it is refused, for a reason, and the script goes on.
    Cannot {
        /// The command, or why it cannot even be read.
        command: Result<Box<Command>, String>,
    },
    /// `mark`: remembers the leader, the highest term and what was sent, for later comparison.
    Mark,
    /// `let NAME = S`: the server keeps this name.
    Let {
        /// The name.
        name: String,
        /// Who has it.
        server: Server,
    },

    // ---- Looking -------------------------------------------------------------------------------------------
    /// `show roles|log|terms|members|network`.
    Show(View),
    /// `watch KIND..`: which events are told as they happen.
    Watch(Vec<Kind>),
    /// `why S`: what the server does, and what it waits for.
    Why(Server),
    /// `help`, or `help COMMAND`.
    Help(Option<String>),
}

impl Command {
    /// Whether it does something to servers, to their links or to who is a member, so that another one may lead
    /// afterwards.
    #[must_use]
    // tidy: flat table
    pub(super) fn is_a_deed(&self) -> bool {
        match self {
            Command::Crash(_)
            | Command::Restart(_)
            | Command::Pause(_)
            | Command::Resume(_)
            | Command::Campaign(_)
            | Command::Stall(_)
            | Command::Unstall(_)
            | Command::Isolate(_)
            | Command::Partition(_)
            | Command::Disconnect(_)
            | Command::Reconnect(_)
            | Command::Cut(_)
            | Command::Heal(_)
            | Command::Lose(_)
            | Command::Slow(_)
            | Command::Hold(_)
            | Command::Drop { .. }
            | Command::Add(_)
            | Command::Remove(_)
            | Command::Members(_)
            | Command::Transfer { .. } => true,
            Command::Servers(_)
            | Command::Profile(_)
            | Command::Seed(_)
            | Command::Config { .. }
            | Command::Log { .. }
            | Command::Client { .. }
            | Command::Snapshot(_)
            | Command::Deliver { .. }
            | Command::Duplicate(_)
            | Command::Release
            | Command::Run(_)
            | Command::Wait(..)
            | Command::Always(..)
            | Command::Expect(_)
            | Command::Cannot { .. }
            | Command::Mark
            | Command::Let { .. }
            | Command::Show(_)
            | Command::Watch(_)
            | Command::Why(_)
            | Command::Help(_) => false,
        }
    }
}

/// How the servers are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The paper alone: neither PreVote nor CheckQuorum.
    Classic,
    /// As in production.
    Default,
}

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `set K V`.
    Set {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// `get K`: a linearizable read.
    Get {
        /// The key.
        key: String,
    },
    /// `delete K`.
    Delete {
        /// The key.
        key: String,
    },
    /// `incr K`: adds one and tells the result, so that doing it twice shows.
    Incr {
        /// The key.
        key: String,
    },
    /// `show`: all keys with their values.
    ShowAll,
}

/// A wish for other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who is added, or removed, or left.
    pub servers: Vec<Server>,
    /// This server is asked; otherwise the leader.
    pub at: Option<Server>,
    /// `begin …`: the outcome is not waited for.
    pub begin: bool,
}

/// A server, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// `3` or `n3`.
    Number(u64),
    /// `leader`: whoever leads in the highest term.
    Leader,
    /// `follower`, `follower2` ..: the how-manieth of the running members that do not lead, from 1 on.
    Follower(usize),
    /// A name that `let` gave.
    Named(String),
    /// `all`.
    All,
}

/// From one server to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The sender.
    pub from: Server,
    /// The recipient.
    pub to: Server,
    /// `A <-> B`: the other way, too.
    pub both_ways: bool,
}

/// Which messages are meant: all, or those of a link, or of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// On this link only.
    pub link: Option<Link>,
    /// Of this kind only.
    pub message: Option<Message>,
}

/// Which of the held messages that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that was sent first.
    Oldest,
    /// The one that was sent last.
    Newest,
    /// All, in the order in which they were sent.
    All,
}

/// A kind of message between servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// PreVote.
    PreVote,
    /// Its answer.
    PreVoteReply,
    /// RequestVote.
    Vote,
    /// Its answer.
    VoteReply,
    /// AppendEntries with entries.
    Append,
    /// AppendEntries without.
    Heartbeat,
    /// The answer to either.
    AppendReply,
    /// InstallSnapshot.
    Snapshot,
    /// Its answer.
    SnapshotReply,
    /// TimeoutNow.
    TimeoutNow,
    /// A follower asks for a read index.
    ReadIndex,
    /// Its answer.
    ReadIndexReply,
    /// A client's commands on their way to the leader, or the answers on their way back.
    Forward,
}

/// Something that is so or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `not CONDITION`.
    Not(Box<Condition>),
    /// `leader`: one leads in the highest term, and has committed an entry of it.
    SomeLeader,
    /// `leader S`: this one does.
    Leader(Server),
    /// `leader same`: the leader at the `mark`, or, without one, before something was last done.
    LeaderSame,
    /// `leader changed`: another one than then.
    LeaderChanged,
    /// `no leader`, `one leader`, `leaders N`: so many running servers believe that they lead.
    Leaders(u64),
    /// `role S ROLE`.
    Role(Server, Role),
    /// `term same`: the highest term is that of the `mark`, or, without one, that before something was last done.
    TermSame,
    /// `term rises`: it is higher.
    TermRises,
    /// `term T` (the highest), or `term T at S`.
    Term(u64, Option<Server>),
    /// `vote S for T`, `vote S none`: whom the server voted for in its term.
    Vote(Server, Option<Server>),
    /// `value K V …`: the applied state has it.
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Where.
        place: Place,
    },
    /// `absent K …`: the applied state has no such key.
    Absent {
        /// The key.
        key: String,
        /// Where.
        place: Place,
    },
    /// `committed I …`: the commit index is I or higher.
    Committed(u64, Place),
    /// `applied I …`: I or more is applied.
    Applied(u64, Place),
    /// `snapshot I …`: a durable snapshot stands for I or more.
    Snapshot(u64, Place),
    /// `last I …`: the last entry of the log is exactly I.
    Last(u64, Place),
    /// `log S TERM..`: the log holds entries of exactly these terms, from the first in memory on.
    LogTerms(Server, Vec<u64>),
    /// `equal logs`: the running servers' logs agree where they overlap, and end alike.
    EqualLogs,
    /// `settled`: equal logs, and everything in them is applied.
    Settled,
    /// `members S.. [at S]`: these are the voters, in no joint configuration, and that is committed.
    Members(Vec<Server>, Option<Server>),
    /// `joint [at S]`: C_old,new is in force.
    Joint(Option<Server>),
    /// `learner S`: the leader sends to it, and its vote does not count.
    Learner(Server),
    /// `answer TEXT`: the last answer to a client or an administrator begins so.
    Answer(String),
    /// `refused`: the last request was refused, without effect.
    Refused,
    /// `answers`: all requests that were begun have their answers.
    AllAnswered,
    /// `up S`, `down S`.
    Up(Server, bool),
    /// `held N …`: so many messages are held.
    Held(Pick, u64),
    /// `wrote at most N at S`: so many changes and syncs of its disk since the `mark`.
    Wrote {
        /// Whose disk.
        server: Server,
        /// How they compare.
        compare: Compare,
        /// With this number.
        count: u64,
    },
    /// `sent at most N …`: so many messages went out since the `mark`.
    Sent {
        /// Which.
        pick: Pick,
        /// How they compare.
        compare: Compare,
        /// With this number.
        count: u64,
    },
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `at most`.
    AtMost,
    /// `at least`.
    AtLeast,
    /// `exactly`.
    Exactly,
}

/// Where something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `at S`.
    At(Server),
    /// `on N servers`: exactly so many of those that run.
    On(u64),
    /// `everywhere`: on all that run.
    Everywhere,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follower.
    Follower,
    /// PreCandidate.
    PreCandidate,
    /// Candidate.
    Candidate,
    /// Leader.
    Leader,
}

/// What `show` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Each server's role, term, commit index.
    Roles,
    /// Each server's log: the terms of its entries, and how much of it is committed.
    Log,
    /// Each server's term and vote.
    Terms,
    /// The configuration in force at each server.
    Members,
    /// What is cut, and which messages are held.
    Network,
}

/// A kind of event that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Somebody leads, or leads no more.
    Leaders,
    /// All changes of role.
    Elections,
    /// Votes given and refused.
    Votes,
    /// Terms that rise.
    Terms,
    /// Entries appended, and removed.
    Log,
    /// Commit indexes that rise.
    Commits,
    /// Configurations.
    Members,
    /// Snapshots.
    Snapshots,
    /// Reads.
    Reads,
    /// Messages sent, received and ignored.
    Messages,
    /// What became of requests.
    Clients,
}
