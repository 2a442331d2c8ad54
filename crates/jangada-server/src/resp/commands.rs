//! The commands that the server knows: their names, how many arguments they take, and what `COMMAND` says
//! of them.

/// A command of the protocol, by who carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// The session: it changes how the next commands are taken.
    Bracket(Bracket),
    /// This server alone: nothing of it goes to the store.
    Local(Local),
    /// The store.
    Store(Store),
}

/// The commands that the session itself carries out. `MULTI` never queues them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the Redis command of its name")]
pub enum Bracket {
    Discard,
    Exec,
    Multi,
    Quit,
    Reset,
    Watch,
}

/// The commands that need no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the Redis command of its name")]
pub enum Local {
    Auth,
    Client,
    Command,
    Config,
    Echo,
    Hello,
    Info,
    Ping,
    Select,
    Time,
    Unwatch,
}

/// The commands of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the Redis command of its name")]
pub enum Store {
    Append,
    DbSize,
    Decr,
    DecrBy,
    Del,
    Exists,
    Expire,
    ExpireAt,
    ExpireTime,
    FlushAll,
    FlushDb,
    Get,
    GetDel,
    GetEx,
    GetRange,
    GetSet,
    Incr,
    IncrBy,
    Keys,
    MGet,
    MSet,
    Persist,
    PExpire,
    PExpireAt,
    PExpireTime,
    PSetEx,
    PTtl,
    Scan,
    Set,
    SetEx,
    SetNx,
    StrLen,
    Substr,
    Touch,
    Ttl,
    Type,
    Unlink,
}

/// What is known of a command before it is looked at closely.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    /// The command.
    pub command: Command,
    /// Its name in lower case.
    pub name: &'static str,
    /// How many words it takes, its name included; negative: at least so many.
    pub arity: i32,
    /// Where the first key stands (0: it takes none).
    pub first_key: i32,
    /// Where the last key stands; negative: counted from the end.
    pub last_key: i32,
    /// How far apart the keys stand.
    pub key_step: i32,
    /// Redis's flags, separated by spaces.
    pub flags: &'static str,
    /// Redis's group.
    pub group: &'static str,
    /// What it does, for `COMMAND DOCS`.
    pub summary: &'static str,
}

/// The longest name in the table.
const LONGEST_NAME: usize = 11;

impl Spec {
    /// The command of that name, in any case.
    #[must_use]
    pub fn find(name: &[u8]) -> Option<&'static Spec> {
        if name.len() > LONGEST_NAME {
            return None;
        }
        let name = packed(name);
        let mut slot = first_slot(name);
        // There are more slots than commands, so an empty one ends every search.
        loop {
            let place = usize::from(SLOTS[slot]);
            if *NAMES.get(place)? == name {
                return SPECS.get(place);
            }
            slot = (slot + 1) % SLOTS.len();
        }
    }

    /// Where it stands in the table.
    #[must_use]
    pub fn place(&'static self) -> usize {
        (std::ptr::from_ref(self).addr() - SPECS.as_ptr().addr()) / size_of::<Spec>()
    }

    /// Whether a command of `words` words, its name included, is complete.
    #[must_use]
    pub fn takes(&self, words: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { words >= least } else { words == least }
    }
}

/// The names of the table as numbers: comparing those costs a fraction of comparing texts.
static NAMES: [u128; SPECS.len()] = {
    let mut names = [0; SPECS.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = packed(SPECS[place].name.as_bytes());
        place += 1;
    }
    names
};

/// Where in the table the command stands whose name hashes to a slot, or one of the slots before it.
static SLOTS: [u8; 256] = {
    const EMPTY: u8 = u8::MAX;
    let mut slots = [EMPTY; 256];
    let mut place = 0;
    while place < SPECS.len() {
        let mut slot = first_slot(packed(SPECS[place].name.as_bytes()));
        while slots[slot] != EMPTY {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = place as u8;
        place += 1;
    }
    slots
};

/// A name of at most sixteen bytes, in lower case, as a number.
const fn packed(name: &[u8]) -> u128 {
    let mut packed = 0;
    let mut at = 0;
    while at < name.len() && at < 16 {
        // For letters this bit is the case. Nothing else becomes a letter by it.
        packed = packed << 8 | (name[at] | 0x20) as u128;
        at += 1;
    }
    packed
}

/// Where the search for a name begins.
const fn first_slot(packed: u128) -> usize {
    let folded = (packed >> 64) as u64 ^ packed as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

/// Shorthand for a row of the table: name, arity, keys as (first, last, step).
const fn row(
    command: Command,
    name: &'static str,
    arity: i32,
    (first_key, last_key, key_step): (i32, i32, i32),
    flags: &'static str,
    group: &'static str,
    summary: &'static str,
) -> Spec {
    Spec { command, name, arity, first_key, last_key, key_step, flags, group, summary }
}

const NONE: (i32, i32, i32) = (0, 0, 0);
const ONE: (i32, i32, i32) = (1, 1, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);
const PAIRS: (i32, i32, i32) = (1, -1, 2);

const READ: &str = "readonly fast";
const READ_SLOW: &str = "readonly";
const WRITE: &str = "write denyoom fast";
const WRITE_SLOW: &str = "write denyoom";
const REMOVE: &str = "write fast";
const REMOVE_SLOW: &str = "write";
const SETUP: &str = "noscript loading stale fast no_auth allow_busy";
const BRACKET: &str = "noscript loading stale fast allow_busy";
const LOCAL: &str = "loading stale fast";
const LOCAL_SLOW: &str = "loading stale";

/// All commands, sorted by name.
#[rustfmt::skip]
pub static SPECS: [Spec; 54] = [
    row(Command::Store(Store::Append), "append", 3, ONE, WRITE, "string", "Adds to the end of a value and returns the new length"),
    row(Command::Local(Local::Auth), "auth", -2, NONE, SETUP, "connection", "Logs in"),
    row(Command::Local(Local::Client), "client", -2, NONE, "", "connection", "Asks about connections"),
    row(Command::Local(Local::Command), "command", -1, NONE, LOCAL_SLOW, "server", "Describes the commands"),
    row(Command::Local(Local::Config), "config", -2, NONE, "", "server", "Asks for settings"),
    row(Command::Store(Store::DbSize), "dbsize", 1, NONE, READ, "server", "Counts the keys"),
    row(Command::Store(Store::Decr), "decr", 2, ONE, WRITE, "string", "Takes one from an integer"),
    row(Command::Store(Store::DecrBy), "decrby", 3, ONE, WRITE, "string", "Takes a number from an integer"),
    row(Command::Store(Store::Del), "del", -2, ALL, REMOVE_SLOW, "generic", "Deletes keys"),
    row(Command::Bracket(Bracket::Discard), "discard", 1, NONE, BRACKET, "transactions", "Gives up the transaction"),
    row(Command::Local(Local::Echo), "echo", 2, NONE, LOCAL, "connection", "Returns its argument"),
    row(Command::Bracket(Bracket::Exec), "exec", 1, NONE, "noscript loading stale skip_slowlog", "transactions", "Runs the transaction"),
    row(Command::Store(Store::Exists), "exists", -2, ALL, READ, "generic", "Counts those of the keys that exist"),
    row(Command::Store(Store::Expire), "expire", -3, ONE, REMOVE, "generic", "Sets a key's time to live in seconds"),
    row(Command::Store(Store::ExpireAt), "expireat", -3, ONE, REMOVE, "generic", "Sets when a key expires, in Unix seconds"),
    row(Command::Store(Store::ExpireTime), "expiretime", 2, ONE, READ, "generic", "Tells when a key expires, in Unix seconds"),
    row(Command::Store(Store::FlushAll), "flushall", -1, NONE, REMOVE_SLOW, "server", "Deletes all keys"),
    row(Command::Store(Store::FlushDb), "flushdb", -1, NONE, REMOVE_SLOW, "server", "Deletes all keys"),
    row(Command::Store(Store::Get), "get", 2, ONE, READ, "string", "Returns a key's value"),
    row(Command::Store(Store::GetDel), "getdel", 2, ONE, REMOVE, "string", "Returns a key's value and deletes the key"),
    row(Command::Store(Store::GetEx), "getex", -2, ONE, REMOVE, "string", "Returns a key's value and changes its time to live"),
    row(Command::Store(Store::GetRange), "getrange", 4, ONE, READ_SLOW, "string", "Returns a part of a value"),
    row(Command::Store(Store::GetSet), "getset", 3, ONE, WRITE, "string", "Sets a value and returns the one before"),
    row(Command::Local(Local::Hello), "hello", -1, NONE, SETUP, "connection", "Agrees on the version of the protocol"),
    row(Command::Store(Store::Incr), "incr", 2, ONE, WRITE, "string", "Adds one to an integer"),
    row(Command::Store(Store::IncrBy), "incrby", 3, ONE, WRITE, "string", "Adds a number to an integer"),
    row(Command::Local(Local::Info), "info", -1, NONE, LOCAL_SLOW, "server", "Describes the server and its cluster"),
    row(Command::Store(Store::Keys), "keys", 2, NONE, READ_SLOW, "generic", "Lists the keys that match a pattern"),
    row(Command::Store(Store::MGet), "mget", -2, ALL, READ, "string", "Returns the values of several keys at one instant"),
    row(Command::Store(Store::MSet), "mset", -3, PAIRS, WRITE_SLOW, "string", "Sets several keys at once"),
    row(Command::Bracket(Bracket::Multi), "multi", 1, NONE, BRACKET, "transactions", "Begins a transaction"),
    row(Command::Store(Store::Persist), "persist", 2, ONE, REMOVE, "generic", "Takes away a key's time to live"),
    row(Command::Store(Store::PExpire), "pexpire", -3, ONE, REMOVE, "generic", "Sets a key's time to live in milliseconds"),
    row(Command::Store(Store::PExpireAt), "pexpireat", -3, ONE, REMOVE, "generic", "Sets when a key expires, in Unix milliseconds"),
    row(Command::Store(Store::PExpireTime), "pexpiretime", 2, ONE, READ, "generic", "Tells when a key expires, in Unix milliseconds"),
    row(Command::Local(Local::Ping), "ping", -1, NONE, "fast", "connection", "Answers PONG"),
    row(Command::Store(Store::PSetEx), "psetex", 4, ONE, WRITE_SLOW, "string", "Sets a value with a time to live in milliseconds"),
    row(Command::Store(Store::PTtl), "pttl", 2, ONE, READ, "generic", "Returns a key's time to live in milliseconds"),
    row(Command::Bracket(Bracket::Quit), "quit", -1, NONE, SETUP, "connection", "Ends the connection"),
    row(Command::Bracket(Bracket::Reset), "reset", 1, NONE, SETUP, "connection", "Puts the connection back into its first state"),
    row(Command::Store(Store::Scan), "scan", -2, NONE, READ_SLOW, "generic", "Walks over the keys page by page"),
    row(Command::Local(Local::Select), "select", 2, NONE, LOCAL, "connection", "Chooses a database: there is only 0"),
    row(Command::Store(Store::Set), "set", -3, ONE, WRITE_SLOW, "string", "Sets a value"),
    row(Command::Store(Store::SetEx), "setex", 4, ONE, WRITE_SLOW, "string", "Sets a value with a time to live in seconds"),
    row(Command::Store(Store::SetNx), "setnx", 3, ONE, WRITE, "string", "Sets a value if the key does not exist"),
    row(Command::Store(Store::StrLen), "strlen", 2, ONE, READ, "string", "Returns the length of a value"),
    row(Command::Store(Store::Substr), "substr", 4, ONE, READ_SLOW, "string", "Returns a part of a value: GETRANGE's old name"),
    row(Command::Local(Local::Time), "time", 1, NONE, LOCAL, "server", "Returns the server's clock"),
    row(Command::Store(Store::Touch), "touch", -2, ALL, READ, "generic", "Counts those of the keys that exist"),
    row(Command::Store(Store::Ttl), "ttl", 2, ONE, READ, "generic", "Returns a key's time to live in seconds"),
    row(Command::Store(Store::Type), "type", 2, ONE, READ, "generic", "Returns the type of a key's value: string, or none"),
    row(Command::Store(Store::Unlink), "unlink", -2, ALL, REMOVE, "generic", "Deletes keys"),
    row(Command::Local(Local::Unwatch), "unwatch", 1, NONE, BRACKET, "transactions", "Forgets the watched keys"),
    row(Command::Bracket(Bracket::Watch), "watch", -2, ALL, BRACKET, "transactions", "Calls the transaction off if one of the keys changes before it"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_name_is_found_in_any_case() {
        assert!(SPECS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(SPECS.iter().map(|spec| spec.name.len()).max(), Some(LONGEST_NAME));
        for (place, spec) in SPECS.iter().enumerate() {
            assert_eq!(spec.place(), place);
            assert_eq!(Spec::find(spec.name.to_uppercase().as_bytes()), Some(spec));
        }
        for no_name in [&b""[..], b"ge", b"get\0", b"\0get", b"get ", b"ge\x14", b"_et"] {
            assert_eq!(Spec::find(no_name), None);
        }
        assert_eq!(Spec::find(b"nosuchcommand"), None);
        assert_eq!(Spec::find(&[b'x'; 1000]), None);
    }

    #[test]
    fn every_command_is_documented() {
        let document = include_str!("../../../../docs/clients.md");
        for spec in &SPECS {
            let name = format!("`{}", spec.name.to_uppercase());
            assert!(document.contains(&name), "{} is not in docs/clients.md", spec.name);
        }
    }

    #[test]
    fn the_table_holds_each_command_once() {
        for (at, spec) in SPECS.iter().enumerate() {
            assert!(SPECS[at + 1..].iter().all(|other| other.command != spec.command), "{}", spec.name);
        }
    }
}
