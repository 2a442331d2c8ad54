//! Conditions: what `expect`, `wait` and `always` ask for. Reading them only; `check.rs` looks whether they hold.

use jangada_trace::{said, say};

use super::command::{Compare, Condition, Place, Role, Server};
use super::parse::Words;

/// The first words of all conditions.
const FIRST: &[&str] = &[
    "not",
    "leader",
    "no",
    "one",
    "leaders",
    "role",
    "term",
    "vote",
    "value",
    "absent",
    "committed",
    "applied",
    "snapshot",
    "last",
    "log",
    "equal",
    "settled",
    "members",
    "joint",
    "learner",
    "answer",
    "refused",
    "answers",
    "up",
    "down",
    "held",
    "sent",
    "wrote",
];

/// Reads a condition.
// tidy: flat table
pub(crate) fn read(words: &mut Words<'_>) -> Result<Condition, String> {
    const ANY: std::ops::RangeInclusive<u64> = 0..=u64::MAX;
    Ok(match words.choose(said!("a condition"), FIRST)? {
        "not" => Condition::Not(Box::new(read(words)?)),
        "leader" => leader(words)?,
        "no" => words.expect("leader").map(|()| Condition::Leaders(0))?,
        "one" => words.expect("leader").map(|()| Condition::Leaders(1))?,
        "leaders" => Condition::Leaders(words.number(said!("a number of leaders"), 0..=9)?),
        "role" => Condition::Role(words.server()?, role(words)?),
        "term" => term(words)?,
        "vote" => vote(words)?,
        "value" => Condition::Value {
            key: words.text(said!("a key"))?,
            value: words.text(said!("a value"))?,
            place: place(words)?,
        },
        "absent" => Condition::Absent { key: words.text(said!("a key"))?, place: place(words)? },
        "committed" => Condition::Committed(words.number(said!("an index"), ANY)?, place(words)?),
        "applied" => Condition::Applied(words.number(said!("an index"), ANY)?, place(words)?),
        "snapshot" => Condition::Snapshot(words.number(said!("an index"), ANY)?, place(words)?),
        "last" => Condition::Last(words.number(said!("an index"), ANY)?, place(words)?),
        "log" => Condition::LogTerms(words.server()?, words.numbers()?),
        "equal" => words.expect("logs").map(|()| Condition::EqualLogs)?,
        "settled" => Condition::Settled,
        "members" => Condition::Members(words.servers()?, words.at()?),
        "joint" => Condition::Joint(words.at()?),
        "learner" => Condition::Learner(words.server()?),
        "answer" => Condition::Answer(answer(words)?),
        "refused" => Condition::Refused,
        "answers" => Condition::AllAnswered,
        "up" => Condition::Up(words.server()?, true),
        "down" => Condition::Up(words.server()?, false),
        "held" => {
            let count = words.number(said!("a number"), ANY)?;
            Condition::Held(words.pick()?, count)
        }
        "sent" => sent(words)?,
        "wrote" => wrote(words)?,
        other => return Err(say!(words.language, "`{other}` begins a condition that has no meaning", other)),
    })
}

fn leader(words: &mut Words<'_>) -> Result<Condition, String> {
    if words.is_empty() {
        return Ok(Condition::SomeLeader);
    }
    if words.take("same") {
        return Ok(Condition::LeaderSame);
    }
    if words.take("changed") {
        return Ok(Condition::LeaderChanged);
    }
    words.server().map(Condition::Leader)
}

fn role(words: &mut Words<'_>) -> Result<Role, String> {
    Ok(match words.choose(said!("a role"), &["follower", "precandidate", "candidate", "leader"])? {
        "follower" => Role::Follower,
        "precandidate" => Role::PreCandidate,
        "candidate" => Role::Candidate,
        _ => Role::Leader,
    })
}

fn term(words: &mut Words<'_>) -> Result<Condition, String> {
    if words.take("same") {
        return Ok(Condition::TermSame);
    }
    if words.take("rises") {
        return Ok(Condition::TermRises);
    }
    Ok(Condition::Term(words.number(said!("a term"), 0..=u64::MAX)?, words.at()?))
}

fn vote(words: &mut Words<'_>) -> Result<Condition, String> {
    let server = words.server()?;
    if words.take("none") {
        return Ok(Condition::Vote(server, None));
    }
    words.expect("for")?;
    Ok(Condition::Vote(server, Some(words.server()?)))
}

/// All that is left of the line.
fn answer(words: &mut Words<'_>) -> Result<String, String> {
    let mut text = words.text(said!("the answer's beginning"))?;
    while let Some(token) = words.next() {
        text.push(' ');
        text.push_str(&token.text);
    }
    Ok(text)
}

fn wrote(words: &mut Words<'_>) -> Result<Condition, String> {
    let (compare, count) = comparison(words)?;
    words.expect("at")?;
    Ok(Condition::Wrote { server: words.server()?, compare, count })
}

fn sent(words: &mut Words<'_>) -> Result<Condition, String> {
    let (compare, count) = comparison(words)?;
    Ok(Condition::Sent { pick: words.pick()?, compare, count })
}

/// `at most N`, `at least N`, `exactly N`.
fn comparison(words: &mut Words<'_>) -> Result<(Compare, u64), String> {
    let compare = if words.take("exactly") {
        Compare::Exactly
    } else {
        words.expect("at")?;
        match words.choose(said!("`at most` or `at least`"), &["most", "least"])? {
            "most" => Compare::AtMost,
            _ => Compare::AtLeast,
        }
    };
    Ok((compare, words.number(said!("a number"), 0..=u64::MAX)?))
}

/// `at S`, `on N servers`, `everywhere`.
fn place(words: &mut Words<'_>) -> Result<Place, String> {
    if words.take("everywhere") {
        return Ok(Place::Everywhere);
    }
    if words.take("on") {
        let count = words.number(said!("a number"), 0..=9)?;
        if !words.take("server") {
            words.expect("servers")?;
        }
        return Ok(Place::On(count));
    }
    match words.at()? {
        Some(Server::All) => Ok(Place::Everywhere),
        Some(server) => Ok(Place::At(server)),
        None => Err(say!(words.language, "where? Say `at S`, `on N servers` or `everywhere`")),
    }
}
