//! status: who is there, who leads, and how many more may fail.
//!
//! All members are asked at once, those that only the others know of included. Whoever is slow is not waited for: a member
//! that is stopped should not delay news of the living.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::cluster_client::ClusterClient;
use jangada_server::status::Status;
use tokio::task::JoinSet;

use super::Ctl;
use super::cluster::{greet, words};
use super::print::{Answer, Format, add_text};
use super::tolerance::{self, Tolerance};
use super::tree::{Tree, text};
use crate::failure::{Exit, Failure};
use crate::output;

/// How long everybody is waited for.
const PATIENCE: Duration = Duration::from_millis(150);
/// On a busy machine everybody is slow: whoever needs no more than this times the time of the first is not late.
const SLOWER: u32 = 3;
/// How long anybody is waited for.
const AT_LONGEST: Duration = Duration::from_secs(1);

/// What an endpoint said.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `HOST:PORT`.
    pub endpoint: String,
    /// What it said, or why not.
    pub answer: Result<Said, String>,
}

/// How a member stands, and whom it knows.
#[derive(Clone, Debug)]
pub struct Said {
    /// How it stands.
    pub status: pb::StatusResponse,
    /// All members, as it knows them.
    pub members: Vec<pb::Member>,
}

impl Said {
    /// Who it is.
    pub fn id(&self) -> u64 {
        self.status.header.map_or(0, |header| header.member_id)
    }
}

/// The cluster, as far as it can be seen.
#[derive(Debug)]
pub struct View {
    /// The members, by the word of whoever knows most; empty if nobody answers.
    pub members: Vec<pb::Member>,
    /// What each endpoint said.
    pub seen: Vec<Seen>,
    /// Whom the leader hears, if it tells.
    pub heard: Option<Status>,
    /// Why it did not tell though it should.
    pub unheard: Option<String>,
}

/// Asks these endpoints and the members that they know of.
pub async fn view(endpoints: &[String]) -> View {
    let begun = Instant::now();
    let mut asked = BTreeSet::new();
    let mut asking = JoinSet::new();
    let mut ask = |endpoint: &str, asking: &mut JoinSet<Seen>| {
        if asked.insert(endpoint.to_owned()) {
            let endpoint = endpoint.to_owned();
            asking.spawn(async move { Seen { answer: ask(&endpoint).await, endpoint } });
        }
    };
    endpoints.iter().for_each(|endpoint| ask(endpoint, &mut asking));
    let mut seen: Vec<Seen> = Vec::new();
    let mut until = begun + AT_LONGEST;
    while let Ok(Some(one)) = tokio::time::timeout_at(until.into(), asking.join_next()).await {
        let one = one.expect("asking does not panic");
        if let Ok(said) = &one.answer {
            until = until.min(begun + PATIENCE.max(begun.elapsed() * SLOWER));
            for address in said.members.iter().filter_map(address) {
                ask(&address, &mut asking);
            }
        }
        seen.push(one);
    }
    let heard = |endpoint: &String| seen.iter().any(|one| one.endpoint == *endpoint);
    let late: Vec<String> = asked.iter().filter(|endpoint| !heard(endpoint)).cloned().collect();
    seen.extend(late.into_iter().map(|endpoint| Seen {
        endpoint,
        answer: Err(format!("no answer in {:.2} s", begun.elapsed().as_secs_f64())),
    }));
    let knows =
        |said: &&Said| (said.status.leader == said.id(), said.status.raft_term, said.status.raft_index);
    let most = seen.iter().filter_map(|one| one.answer.as_ref().ok()).max_by_key(knows);
    let mut members = most.map(|said| said.members.clone()).unwrap_or_default();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let mut view = View { members, seen, heard: None, unheard: None };
    if let Some(leader) = view.leader() {
        // It has just answered: it is given what is left of the time.
        match tolerance::heard(leader, (begun + AT_LONGEST).max(Instant::now() + PATIENCE)).await {
            Ok(heard) => view.heard = heard,
            Err(why) => view.unheard = Some(why),
        }
    }
    view
}

async fn ask(endpoint: &str) -> Result<Said, String> {
    let link = greet(endpoint, AT_LONGEST).await?;
    let status = link.status.ok_or("it wants to know who asks")?;
    let request = pb::MemberListRequest { linearizable: false };
    let members = ClusterClient::new(link.channel).member_list(request).await;
    Ok(Said { status, members: members.map_err(|status| words(&status))?.into_inner().members })
}

/// Where a member's clients connect.
pub fn address(member: &pb::Member) -> Option<String> {
    let url = member.client_ur_ls.first()?;
    Some(url.split_once("://").map_or(url.as_str(), |(_, address)| address).trim_end_matches('/').to_owned())
}

impl View {
    /// What a member said, or why not.
    pub fn of(&self, member: &pb::Member) -> Result<&Said, String> {
        let said = self.seen.iter().filter_map(|one| one.answer.as_ref().ok());
        if let Some(said) = said.into_iter().find(|said| said.id() == member.id) {
            return Ok(said);
        }
        // The word of etcdctl, and what tells it from others.
        let Some(address) = address(member) else {
            return Err(format!(
                "unstarted; member {:x}, to be at {}",
                member.id,
                member.peer_ur_ls.join(", ")
            ));
        };
        let asked = self.seen.iter().find(|one| one.endpoint == address);
        Err(asked
            .and_then(|one| one.answer.as_ref().err().cloned())
            .unwrap_or_else(|| "not asked".to_owned()))
    }

    /// Whom those that answer follow, if most of them are right.
    pub fn leader(&self) -> Option<&pb::Member> {
        let said = self.seen.iter().filter_map(|one| one.answer.as_ref().ok());
        let leads = said.filter(|said| said.status.leader == said.id() && said.id() != 0);
        let leader = leads.max_by_key(|said| said.status.raft_term)?.id();
        self.members.iter().find(|member| member.id == leader)
    }
}

impl Ctl {
    /// Tells of all members. No quorum is exit code 3.
    pub async fn status(&mut self) -> Result<(), Failure> {
        let view = view(self.cluster.endpoints()).await;
        if view.members.is_empty() {
            let why = view.seen.iter().map(|one| match &one.answer {
                Ok(_) => format!("{}: knows no members", one.endpoint),
                Err(why) => format!("{}: {why}", one.endpoint),
            });
            let why: Vec<String> = why.collect();
            return Err(Failure::unreachable(format!("nobody answers: {}", why.join(", "))));
        }
        let tolerance = view.tolerance();
        self.format.print(&told(&view, &tolerance))?;
        if self.format == Format::Table {
            output::line(&tolerance.sentence())?;
        }
        match tolerance.count.serves() {
            true => Ok(()),
            false => Err(Failure::silent(Exit::Unreachable)),
        }
    }
}

const COLUMNS: [&str; 9] =
    ["NAME", "ADDRESS", "ROLE", "VERSION", "TERM", "REVISION", "APPLIED", "SIZE", "REMARKS"];

fn told(view: &View, tolerance: &Tolerance) -> Answer {
    let rows: Vec<Vec<String>> = view.members.iter().map(|member| row(view, member)).collect();
    let mut simple = Vec::new();
    add_text(&output::table(&COLUMNS, rows.clone()), &mut simple);
    add_text(&tolerance.sentence(), &mut simple);
    let tree = Tree::Object(vec![
        ("leader", text(view.leader().map(|leader| leader.name.clone()).unwrap_or_default())),
        ("voters", (tolerance.count.voters as u64).into()),
        ("answering", (tolerance.answering as u64).into()),
        ("takingPart", (tolerance.count.there as u64).into()),
        ("quorum", Tree::Flag(tolerance.count.has_quorum())),
        ("tolerates", (tolerance.count.spare() as u64).into()),
        ("members", Tree::List(view.members.iter().map(|member| part(view, member)).collect())),
    ]);
    Answer { table: Some((COLUMNS.to_vec(), rows)), ..Answer::lines(tree, simple) }
}

fn role(said: &Said) -> &'static str {
    match said.status.leader {
        leader if leader == said.id() => "leader",
        _ if said.status.is_learner => "learner",
        0 => "no leader",
        _ => "follower",
    }
}

/// A member as a row of the table.
pub fn row(view: &View, member: &pb::Member) -> Vec<String> {
    let mut row = vec![member.name.clone(), address(member).unwrap_or_default()];
    match view.of(member) {
        Ok(said) => {
            let status = &said.status;
            row.extend([role(said).to_owned(), status.version.clone(), status.raft_term.to_string()]);
            row.push(status.header.map_or(0, |header| header.revision).to_string());
            row.extend([status.raft_applied_index.to_string(), size(status.db_size)]);
            let errors = status.errors.iter().map(|error| error.trim().to_owned());
            let remarks = errors.chain(view.apart(member)).chain(view.behind(member));
            row.push(remarks.chain(view.tells_nothing(member)).collect::<Vec<_>>().join(", "));
        }
        Err(why) => {
            row.push(if member.is_learner { "learner" } else { "" }.to_owned());
            row.extend((0..5).map(|_| String::new()));
            row.push(why);
        }
    }
    row
}

fn part(view: &View, member: &pb::Member) -> Tree {
    let mut parts = vec![
        ("name", text(member.name.clone())),
        ("id", member.id.into()),
        ("address", text(address(member).unwrap_or_default())),
        ("learner", Tree::Flag(member.is_learner)),
    ];
    match view.of(member) {
        Ok(said) => {
            parts.push(("status", super::endpoints::status_tree(&said.status)));
            parts.extend(view.apart(member).map(|how| ("apart", text(how))));
        }
        Err(why) => parts.push(("error", text(why))),
    }
    Tree::Object(parts)
}

/// As a person reads it.
pub fn size(bytes: i64) -> String {
    let bytes = bytes.max(0) as f64;
    match bytes {
        _ if bytes < 1e3 => format!("{bytes} B"),
        _ if bytes < 1e6 => format!("{:.0} kB", bytes / 1e3),
        _ if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_few_digits() {
        assert_eq!([0, 999, 20_480, 1_500_000].map(size), ["0 B", "999 B", "20 kB", "1.5 MB"]);
    }
}
