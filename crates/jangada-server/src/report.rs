//! What the server says of itself: the status, and why it cannot serve.

use std::time::{Duration, Instant};

use jangada_raft::event::RoleName as RaftRole;
use jangada_raft::types::{Index, NodeId};

use crate::core::Core;
use crate::peer::link::LinkState;
use crate::status::{
    LogEnd, MemberRole, MemberStatus, MembershipStage, MembershipStatus, PromisedMember, RoleName, Status,
};

/// Entries of the log's end that the status names.
const SHOWN_ENTRIES: u64 = 24;

impl Core {
    /// A photograph.
    pub(crate) fn status(&self) -> Status {
        let raft = self.replica.raft();
        let me = self.directory.me();
        let leader = raft.leader();
        let book = self.directory.book();
        let store = &self.replica.state().store;
        let members = self.members();
        let problems = [self.hanging_disk_sentence(), leader.is_none().then(|| self.no_leader_sentence())];
        let problem = problems.into_iter().flatten().reduce(|disk, leader| format!("{disk}; {leader}"));
        Status {
            name: me.name,
            id: me.id,
            cluster_id: me.cluster.map_or_else(String::new, |cluster| format!("{cluster:016x}")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: millis(self.started.elapsed()),
            role: match raft.role_name() {
                RaftRole::Follower => RoleName::Follower,
                RaftRole::PreCandidate => RoleName::PreCandidate,
                RaftRole::Candidate => RoleName::Candidate,
                RaftRole::Leader => RoleName::Leader,
            },
            term: raft.term().0,
            leader: leader.map(|id| book.name(id)),
            leader_client_addr: (leader.and_then(|id| book.get(id)))
                .map(|entry| entry.client_addr.clone())
                .filter(|addr| !addr.is_empty()),
            commit_index: raft.commit_index().0,
            applied_index: self.replica.last_applied().0,
            last_index: raft.last_index().0,
            snapshot_index: raft.snapshot_meta().last_included_index.0,
            log_bytes: raft.log_bytes() as u64,
            revision: store.revision().0,
            keys: store.key_count(),
            leases: store.lease_count() as u64,
            log: self.log_end(),
            store_bytes: store.bytes(),
            live_bytes: store.live_bytes(),
            quota: store.quota().into(),
            history: store.into(),
            alarms: store.alarms().map(Into::into).collect(),
            membership: members,
            problem,
        }
    }

    fn log_end(&self) -> LogEnd {
        let raft = self.replica.raft();
        let last = raft.last_index();
        let first = Index(raft.first_index().0.max((last.0 + 1).saturating_sub(SHOWN_ENTRIES)));
        LogEnd {
            first_index: first.0,
            terms: raft.entries(first..=last).map(|entry| entry.term.0).collect(),
            durable_index: raft.durable_index().0,
        }
    }

    pub(crate) fn members(&self) -> MembershipStatus {
        let membership = self.replica.raft().membership();
        let outgoing = membership.outgoing.iter().flatten().filter(|id| !membership.voters.contains(id));
        let voters = membership.voters.iter().map(|id| (*id, MemberRole::Voter));
        let outgoing = outgoing.map(|id| (*id, MemberRole::Outgoing));
        let learners = membership.learners.iter().map(|id| (*id, MemberRole::Learner));
        let mut members: Vec<MemberStatus> =
            voters.chain(outgoing).chain(learners).map(|(id, role)| self.member(id, role)).collect();
        members.sort_by_key(|member| member.id);
        let voters = || members.iter().filter(|member| member.role == MemberRole::Voter);
        let all = voters().count();
        let away = voters().filter(|member| !member.reachable).count();
        let stage = match (&membership.outgoing, &membership.target) {
            (Some(_), _) => MembershipStage::Joint,
            (None, Some(_)) => MembershipStage::CatchUp,
            (None, None) => MembershipStage::Final,
        };
        MembershipStatus {
            stage,
            tolerates: (all.saturating_sub(1) / 2).saturating_sub(away) as u64,
            members,
            promised: self.directory.book().promises.iter().map(PromisedMember::from).collect(),
        }
    }

    fn member(&self, id: NodeId, role: MemberRole) -> MemberStatus {
        let raft = self.replica.raft();
        let book = self.directory.book();
        let entry = book.get(id);
        let last = raft.last_index();
        let me = id == raft.id();
        let match_index = if me && raft.role_name() == RaftRole::Leader {
            Some(last)
        } else {
            raft.progress().find(|progress| progress.id == id).map(|progress| progress.match_index)
        };
        MemberStatus {
            name: book.name(id),
            id: id.0,
            role,
            will_vote: self.is_coming(id),
            peer_addr: entry.map_or_else(String::new, |entry| entry.peer_addr.clone()),
            client_addr: entry.map_or_else(String::new, |entry| entry.client_addr.clone()),
            reachable: me || self.reachable(id),
            heard_ms_ago: self.heard.get(&id).filter(|_| !me).map(|heard| millis(heard.elapsed())),
            match_index: match_index.map(|index| index.0),
            // A new leader knows nothing of its followers' logs until they have answered (Paper, Figure 2: `matchIndex` begins
            // with 0): that is no lag.
            lag: match_index.filter(|index| *index > Index::ZERO).map(|index| last.0.saturating_sub(index.0)),
        }
    }

    /// Is a peer there? A leader and its followers hear each other all the time, others only while they look for
    /// a leader; else the link must do.
    pub(crate) fn reachable(&self, id: NodeId) -> bool {
        let up = matches!(self.links.state(id), Some(LinkState::Up));
        let raft = self.replica.raft();
        let speaks = raft.role_name() == RaftRole::Leader || raft.leader() == Some(id);
        if !speaks {
            return up && self.silent_for(id).is_none();
        }
        up && self.heard.get(&id).is_some_and(|heard| heard.elapsed() < self.patience())
    }

    /// How long a peer has been silent that should have spoken: among voters without a leader each asks for votes,
    /// and is answered. A process that is stopped keeps its links; only this shows that it is not there.
    fn silent_for(&self, id: NodeId) -> Option<Duration> {
        let voters = &self.replica.raft().membership().voters;
        let patience = self.patience();
        let asked = self.leaderless_since.map(|since| since.elapsed()).filter(|asked| *asked > patience)?;
        let silent = self.heard.get(&id).map_or(asked, Instant::elapsed);
        (silent > patience && voters.contains(&id) && voters.contains(&self.replica.id())).then_some(silent)
    }

    /// Who was not heard for so long is not there.
    pub(crate) fn patience(&self) -> Duration {
        self.replica.raft().config().election_timeout_max * 2
    }

    /// The others look for this server at the address that the configuration names: a sentence if that is not the
    /// one where it is now.
    pub(crate) fn moved(&self) -> Option<String> {
        let me = self.directory.me();
        let book = self.directory.book();
        if self.replica.raft().membership().members().len() < 2 {
            return None;
        }
        let known = book.get(NodeId(me.id)).filter(|known| known.peer_addr != me.peer_addr)?;
        Some(format!(
            "the cluster knows this server at {}, but it is at {} now: unless the old address leads here, the \
             others cannot reach it. Start it there again, or remove it from the cluster and add it again",
            known.peer_addr, me.peer_addr
        ))
    }

    /// Whether this server knows that it is no member any more.
    pub(crate) fn was_removed(&self) -> bool {
        let raft = self.replica.raft();
        let membership = raft.membership();
        !membership.voters.is_empty() && !membership.members().contains(&raft.id())
    }

    /// That the disk hangs, if it does, since when, and what now.
    fn hanging_disk_sentence(&self) -> Option<String> {
        let since = self.replica.disk_hangs_since()?;
        Some(format!(
            "the disk hangs: what it was given {} ago is not durable yet. Until it is, this server votes for nobody, \
             confirms no entry and takes no snapshot: look after the disk",
            age(self.now().since(since))
        ))
    }

    /// Why there is no leader, as far as this server can tell, and what now.
    pub(crate) fn no_leader_sentence(&self) -> String {
        let raft = self.replica.raft();
        let membership = raft.membership();
        let book = self.directory.book();
        if membership.voters.is_empty() {
            return "this server is not a member of the cluster yet: add it (jangada cluster add), or ask \
                    another server"
                .to_owned();
        }
        if self.was_removed() {
            let voters: Vec<String> = membership.voters.iter().map(|id| book.name(*id)).collect();
            return format!(
                "this server is no member of the cluster any more: ask {}, or add it again (jangada cluster add)",
                voters.join(", ")
            );
        }
        let mut away = Vec::new();
        let now = Instant::now();
        for id in membership.voters.iter().filter(|id| **id != raft.id()) {
            let name = book.name(*id);
            match self.links.state(*id) {
                Some(LinkState::Up) => {
                    if let Some(silent) = self.silent_for(*id) {
                        away.push(format!("{name} silent for {}", age(silent)));
                    }
                }
                Some(LinkState::Down { since, what }) => {
                    away.push(format!("{name} {what} {} ago", age(now.duration_since(since))));
                }
                Some(LinkState::Connecting) | None => away.push(format!("{name} not reached yet")),
            }
        }
        let voters = membership.voters.len();
        let there = voters - away.len();
        if there > voters / 2 {
            // Between voters who hear each other an election takes a few timeouts.
            let since = self.leaderless_since.map(|since| since.elapsed());
            if let Some(since) = since.filter(|since| *since > self.patience() * 3) {
                return format!(
                    "this server has heard no leader for {}, though {there} of {voters} voters are reachable: they may \
                     follow one that it does not hear, or it was removed while it was away; ask another server \
                     (jangada ctl status)",
                    age(since)
                );
            }
            return format!(
                "no leader at the moment: {there} of {voters} voters are reachable, an election is under way; \
                 try again in a moment"
            );
        }
        format!(
            "no quorum: {there} of {voters} voters reachable ({}); reads and writes wait until enough return",
            away.join(", ")
        )
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn age(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_secs())
    }
}
