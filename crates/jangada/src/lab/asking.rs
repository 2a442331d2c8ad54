//! One request to a real server, and what can be said about its answer: which entry it became, who holds it, who was
//! asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jangada_kv::Request;
use jangada_node::effect::AdminDone;
use jangada_node::kv_machine::KvMachine;
use jangada_node::replica::Replica;
use jangada_raft::types::{NodeId, Payload, Term, Time};
use jangada_server::handle::{
    AdminAnswer, AdminError, AdminRequest, BatchItem, ChangeMembers, Handle, Kind, NewMember, RequestError,
    STAMP_BYTES, Transfer,
};
use jangada_sim::script::cluster::{Answer, Ask};
use jangada_trace::language::Language;
use jangada_trace::say;
use tokio::time::timeout;

/// How long a client waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a change of members may take.
const CHANGE_PATIENCE: Duration = Duration::from_secs(15);
/// How long a look for a remark may take: without it the answer is as good.
const GLANCE: Duration = Duration::from_millis(200);
/// How far back in the log a command is looked for.
const LOOKED_THROUGH: usize = 256;

/// Whom to ask for what.
pub struct Question {
    /// Whom.
    pub at: NodeId,
    /// The door to it.
    pub asked: Handle,
    /// The doors to all who listen.
    pub handles: BTreeMap<NodeId, Handle>,
    /// For what.
    pub ask: Ask,
    /// Where those are found who are to be members.
    pub new: BTreeMap<NodeId, Addresses>,
    /// Where time counts from.
    pub epoch: Instant,
    /// What the remark is said in.
    pub language: Language,
}

/// Where a server is found.
pub struct Addresses {
    /// By other servers.
    pub peer: String,
    /// By clients.
    pub client: String,
}

/// Asks, and waits for the answer.
pub fn carry_out(question: Question) -> (Answer, Option<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    match runtime {
        Ok(runtime) => runtime.block_on(asked(question)),
        Err(why) => (Answer::Refused(say!(question.language, "no runtime: {why}", why)), None),
    }
}

async fn asked(question: Question) -> (Answer, Option<String>) {
    match &question.ask {
        Ask::Client(request) if request.is_read_only() => read(&question, request).await,
        Ask::Client(request) => write(&question, request).await,
        Ask::Members { voters, .. } => {
            let names = voters.iter().map(ToString::to_string).collect();
            let members = known_members(&question.asked);
            let new = question.new.iter().filter(|(id, _)| !members.contains(&id.to_string()));
            let new = new.map(|(id, addresses)| NewMember {
                name: id.to_string(),
                peer_addr: addresses.peer.clone(),
                client_addr: addresses.client.clone(),
            });
            let timeout_ms = u64::try_from(CHANGE_PATIENCE.as_millis()).unwrap_or(u64::MAX);
            let change = ChangeMembers { voters: names, new: new.collect(), timeout_ms };
            admin(question.language, &question.asked, AdminRequest::ChangeMembers(change)).await
        }
        Ask::Transfer(to) => {
            let transfer = Transfer { to: to.to_string(), timeout_ms: 5_000 };
            admin(question.language, &question.asked, AdminRequest::Transfer(transfer)).await
        }
    }
}

fn known_members(asked: &Handle) -> Vec<String> {
    asked.status().membership.members.iter().map(|member| member.name.clone()).collect()
}

async fn admin(language: Language, asked: &Handle, request: AdminRequest) -> (Answer, Option<String>) {
    let answer = match asked.admin(request).await {
        Ok(AdminAnswer::Members { after, .. }) => {
            let remark = say!(
                language,
                "{voters} vote; {more} more may fail",
                voters = after.voters.join(" "),
                more = after.tolerates
            );
            return (Answer::Done(AdminDone::MembershipChanged), Some(remark));
        }
        Ok(AdminAnswer::Transferred { term, .. }) => {
            Answer::Done(AdminDone::Transferred { term: Term(term) })
        }
        // What no laboratory asks for.
        Ok(AdminAnswer::Member { .. } | AdminAnswer::List { .. }) => {
            Answer::Done(AdminDone::MembershipChanged)
        }
        Err(AdminError::Member(refusal)) => Answer::Refused(refusal.to_string()),
        Err(AdminError::Refused(why) | AdminError::NoQuorum(why) | AdminError::NotLeader { why, .. }) => {
            Answer::Refused(as_here(&why))
        }
        Err(AdminError::OutcomeUnknown(why) | AdminError::Deadline(why)) => Answer::Unknown(as_here(&why)),
    };
    (answer, None)
}

/// What a server advises whoever looks after a cluster of processes, in the laboratory's words.
fn as_here(why: &str) -> String {
    why.replace("jangada cluster status", "`status`")
}

async fn submit(asked: &Handle, kind: Kind, item: BatchItem) -> Answer {
    let answers = asked.submit(kind, vec![item], PATIENCE).await;
    match answers.into_iter().next() {
        Some(Ok(response)) => Answer::Response(response),
        Some(Err(error @ (RequestError::OutcomeUnknown { .. } | RequestError::Bad(_)))) => {
            Answer::Unknown(error.to_string())
        }
        Some(Err(error)) => Answer::Refused(error.to_string()),
        None => Answer::Unknown("the server gave no answer".into()),
    }
}

async fn write(question: &Question, request: &Request) -> (Answer, Option<String>) {
    let mut encoded = vec![0; STAMP_BYTES];
    request.encode(&mut encoded);
    let command = encoded[STAMP_BYTES..].to_vec();
    let begun = Instant::now();
    let answer = submit(&question.asked, Kind::Write, BatchItem::Write { encoded }).await;
    let took = begun.elapsed();
    if !matches!(answer, Answer::Response(_)) {
        return (answer, None);
    }
    let Some(leader) = leader(question).await else { return (answer, None) };
    let find = move |replica: &Replica<KvMachine>| entry_of(replica, &command);
    let entry = look(question.handles.get(&leader), find).await.flatten();
    let remark = entry.map(|Found { index, term, holders }| {
        let by = if leader == question.at {
            String::new()
        } else {
            say!(question.language, " by {leader}", leader)
        };
        say!(
            question.language,
            "index {index}, term {term} · on disk at {holders} · committed{by} in {took}",
            index,
            term,
            holders,
            by,
            took = milliseconds(took)
        )
    });
    (answer, remark)
}

/// An entry that was found again.
struct Found {
    index: u64,
    term: u64,
    /// Who has it on disk.
    holders: String,
}

fn entry_of(replica: &Replica<KvMachine>, command: &[u8]) -> Option<Found> {
    let raft = replica.raft();
    let all: Vec<_> = raft.entries(raft.first_index()..=raft.last_index()).collect();
    let entry = all.into_iter().rev().take(LOOKED_THROUGH).find(|entry| match &entry.payload {
        Payload::Command(bytes) => bytes.get(STAMP_BYTES..) == Some(command),
        Payload::Noop | Payload::Membership(_) => false,
    })?;
    let mine = (raft.durable_index() >= entry.index).then(|| raft.id());
    let others = raft.progress().filter(|peer| peer.match_index >= entry.index).map(|peer| peer.id);
    let holders: Vec<String> = mine.into_iter().chain(others).map(|id| id.to_string()).collect();
    Some(Found { index: entry.index.0, term: entry.term.0, holders: holders.join(" ") })
}

async fn read(question: &Question, request: &Request) -> (Answer, Option<String>) {
    let begun = Instant::now();
    let since = Time(u64::try_from(question.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let answer = submit(&question.asked, Kind::Read, BatchItem::Read(request.clone())).await;
    let took = milliseconds(begun.elapsed());
    if !matches!(answer, Answer::Response(_)) {
        return (answer, None);
    }
    let Some(leader) = leader(question).await else { return (answer, None) };
    let who = move |replica: &Replica<KvMachine>| {
        let heard = replica.raft().progress().filter(|peer| peer.last_heard >= since);
        heard.map(|peer| peer.id.to_string()).collect::<Vec<_>>().join(" ")
    };
    let heard = look(question.handles.get(&leader), who).await.unwrap_or_default();
    let answered = if heard.is_empty() { say!(question.language, "nobody else: it is alone") } else { heard };
    let at = question.at;
    let remark = if leader == at {
        say!(
            question.language,
            "linearizable: {at} asked {answered} \"am I still leader?\" in {took}",
            at,
            answered,
            took
        )
    } else {
        say!(
            question.language,
            "linearizable: {at} asked {leader}, who asked {answered} \"am I still leader?\" in {took}",
            at,
            leader,
            answered,
            took
        )
    };
    (answer, Some(remark))
}

/// Who leads, as far as the asked server knows.
async fn leader(question: &Question) -> Option<NodeId> {
    look(Some(&question.asked), |replica: &Replica<KvMachine>| replica.raft().leader()).await.flatten()
}

async fn look<T: Send + 'static>(
    handle: Option<&Handle>,
    look: impl FnOnce(&Replica<KvMachine>) -> T + Send + 'static,
) -> Option<T> {
    let seen = handle?.look(look).ok()?;
    timeout(GLANCE, seen).await.ok()?.ok()
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_must_look_is_told_how_to_look_here() {
        let why = "a change that had gone further will be completed: look with jangada cluster status";
        assert_eq!(as_here(why), "a change that had gone further will be completed: look with `status`");
    }
}
