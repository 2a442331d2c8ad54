//! This server as what stands behind the services: requests go through the door to the replica, as those of all
//! protocols do, and what the services say of the server comes from its latest status.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_etcd::{
    Answerer, Backend, Freshness, Member, MemberChange, MemberRefusal, NoMove, Passwords, Refusal, Situation,
};
use jangada_kv::auth::TokenDigest;
use jangada_kv::watch::Slice;
use jangada_kv::{
    AuthChange, AuthError, AuthQuestion, AuthRequest, Caller, Changes, Error, Page, Request, Response,
    Revision,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::members;
use crate::front::Shared;
use crate::handle::{
    AdminAnswer, AdminError, AdminRequest, BatchItem, ChangesRequest, Kind, PageRequest, RequestError,
    STAMP_BYTES, Transfer,
};
use crate::http::admin::in_time;
use crate::status::{MemberRole, MemberStatus, PromisedMember, Status};

/// Between two looks at a newcomer.
const PAUSE: Duration = Duration::from_millis(20);

/// This server, to the services.
#[derive(Clone, Debug)]
pub(crate) struct Seam {
    shared: Arc<Shared>,
}

impl Seam {
    pub(crate) fn new(shared: Arc<Shared>) -> Seam {
        Seam { shared }
    }

    /// A token that only reads is in use, too: that is written now and then, and nobody waits for it.
    fn note_use(&self, token: TokenDigest, answer: &Response) {
        match answer {
            Response::Error(Error::Auth(AuthError::InvalidToken)) => {
                return self.shared.tokens.forget(&token);
            }
            Response::Error(Error::Auth(_)) => return,
            _ => {}
        }
        let now = Instant::now();
        self.shared.tokens.accept(token, now);
        if self.shared.tokens.is_due(&token, now) {
            let (seam, touch) = (
                self.clone(),
                Caller::Token(token).asks(Request::Auth(AuthRequest::Change(AuthChange::Touch))),
            );
            tokio::spawn(async move {
                // If it cannot be said now, the next use says it.
                let _said = seam.write(touch).await;
            });
        }
    }

    /// Why a write needs not even enter the log: nobody asks where somebody must, or the token is none. Who may do what
    /// is no question here; the store decides when it carries the write out.
    async fn refused_at_the_door(&self, request: &Request) -> Result<Option<Response>, Refusal> {
        let caller = caller(request);
        let is_open = match &caller {
            Caller::Nobody => !self.shared.handle.board().auth_enabled(),
            Caller::Token(token) => self.shared.tokens.knows(token),
            Caller::Server | Caller::User { .. } => true,
        };
        if is_open {
            return Ok(None);
        }
        let who = caller.asks(Request::Auth(AuthRequest::Ask(AuthQuestion::WhoAmI)));
        let answer = self.read(who, Freshness::Linearizable).await?;
        Ok(matches!(answer, Response::Error(_)).then_some(answer))
    }

    async fn submit(&self, kind: Kind, item: BatchItem) -> Result<Response, Refusal> {
        let shared = &self.shared;
        shared.counters.etcd_calls.fetch_add(1, Relaxed);
        let begun = Instant::now();
        let answers = shared.handle.submit(kind, vec![item], shared.limits.request_time).await;
        shared.counters.answered(kind, begun.elapsed());
        let answer = answers.into_iter().next().expect("each request has an answer");
        if let Some(revision) = answer.as_ref().ok().and_then(Response::revision) {
            shared.handle.board().revisions().acknowledge(revision);
        }
        answer.map_err(|error| {
            shared.counters.failure(&error);
            match (error, kind) {
                // Nothing has happened, as far as the client is concerned.
                (RequestError::NoRoom, Kind::Read | Kind::Local) => Refusal::Busy,
                (error, _) => refusal(error),
            }
        })
    }
}

impl Backend for Seam {
    async fn write(&self, request: Request) -> Result<Response, Refusal> {
        if let Some(refused) = self.refused_at_the_door(&request).await? {
            return Ok(refused);
        }
        let asker = caller(&request);
        let mut encoded = vec![0; STAMP_BYTES];
        request.encode(&mut encoded);
        if encoded.len() - STAMP_BYTES > self.shared.limits.request_bytes {
            return Err(Refusal::TooLarge);
        }
        // The log keeps these bytes as they are, so there should be none to spare.
        encoded.shrink_to_fit();
        let answer = self.submit(Kind::Write, BatchItem::Write { encoded }).await?;
        // What has ended meanwhile gets no second refusal into the log.
        if let Caller::Token(token) = asker
            && answer == Response::Error(Error::Auth(AuthError::InvalidToken))
        {
            self.shared.tokens.forget(&token);
        }
        Ok(answer)
    }

    async fn read(&self, request: Request, freshness: Freshness) -> Result<Response, Refusal> {
        let kind = match freshness {
            Freshness::Linearizable => Kind::Read,
            Freshness::Serializable => Kind::Local,
        };
        let caller = caller(&request);
        let answer = self.submit(kind, BatchItem::Read(request)).await?;
        if let Caller::Token(token) = caller {
            self.note_use(token, &answer);
        }
        Ok(answer)
    }

    async fn caught_up(&self) {
        self.shared.handle.board().caught_up().await;
    }

    async fn changes(&self, from: Revision) -> Result<Result<Changes, Revision>, Refusal> {
        let (enough, enough_bytes) = (self.shared.limits.watch_events, self.shared.limits.watch_bytes);
        let asked = self.shared.handle.changes(ChangesRequest { from, enough, enough_bytes }).await;
        match asked.map_err(refusal)? {
            Ok(changes) => Ok(Ok(changes)),
            Err(Error::Compacted { floor }) => Ok(Err(floor)),
            Err(other) => Err(Refusal::Other(other.to_string())),
        }
    }

    async fn page(&self, revision: Revision, from: Bytes) -> Result<Result<Page, Error>, Refusal> {
        let (enough, enough_bytes) = (self.shared.limits.page_keys, self.shared.limits.page_bytes);
        let request = PageRequest { revision, from, enough, enough_bytes };
        self.shared.handle.page(request).await.map_err(refusal)
    }

    async fn move_leader(&self, to: u64) -> Result<(), NoMove> {
        let until = Instant::now() + self.shared.limits.request_time;
        let mut status = self.shared.handle.status();
        // Who has come just now gets a vote in a moment.
        let is_coming = |status: &Status| {
            status.membership.members.iter().any(|member| member.id == to && member.will_vote)
        };
        while is_coming(&status) && Instant::now() < until {
            tokio::time::sleep(PAUSE).await;
            status = self.shared.handle.status();
        }
        let Some(leader) = &status.leader else { return Err(NoMove::NoLeader) };
        if *leader != status.name {
            return Err(NoMove::NotLeader);
        }
        let target = status.membership.members.iter().find(|member| member.id == to);
        let target = target.filter(|member| member.role != MemberRole::Learner).ok_or(NoMove::BadTarget)?;
        if target.id == status.id {
            return Ok(());
        }
        let timeout_ms = u64::try_from(self.shared.limits.request_time.as_millis()).unwrap_or(u64::MAX);
        let transfer = Transfer { to: target.name.clone(), timeout_ms };
        match self.shared.handle.admin(AdminRequest::Transfer(transfer)).await {
            Ok(AdminAnswer::Transferred { .. }) => Ok(()),
            Ok(AdminAnswer::Members { .. } | AdminAnswer::Member { .. } | AdminAnswer::List { .. })
            | Err(AdminError::Member(_)) => Err(NoMove::Other("an answer to something else".to_owned())),
            Err(AdminError::NotLeader { .. }) => Err(NoMove::NotLeader),
            Err(AdminError::NoQuorum(_)) => Err(NoMove::NoLeader),
            Err(AdminError::Deadline(_) | AdminError::OutcomeUnknown(_)) => Err(NoMove::TimedOut),
            Err(AdminError::Refused(why)) => Err(NoMove::Other(why)),
        }
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.shared.handle.board().revisions().follow()
    }

    fn recent(&self, from: Revision) -> Option<Arc<Slice>> {
        self.shared.handle.board().revisions().recent(from)
    }

    fn auth_stamp(&self) -> u64 {
        self.shared.handle.board().revisions().auth_stamp()
    }

    fn acknowledged(&self) -> Revision {
        self.shared.handle.board().revisions().acknowledged()
    }

    fn answerer(&self) -> Answerer {
        let status = self.shared.handle.status();
        Answerer {
            // Known since before the port was opened.
            cluster_id: u64::from_str_radix(&status.cluster_id, 16).unwrap_or(0),
            member_id: status.id,
            term: status.term,
        }
    }

    fn situation(&self) -> Situation {
        let status = self.shared.handle.status();
        let members = &status.membership.members;
        let leader = status.leader.as_ref();
        let me = members.iter().find(|member| member.id == status.id);
        Situation {
            leader: leader.and_then(|name| members.iter().find(|member| member.name == *name)).map(|m| m.id),
            problem: status.problem.clone(),
            commit_index: status.commit_index,
            applied_index: status.applied_index,
            is_learner: me.is_some_and(|member| member.role == MemberRole::Learner),
            store_bytes: status.store_bytes,
            live_bytes: status.live_bytes,
        }
    }

    /// Asked in the replica's turn. If its queue is full the photograph must do.
    async fn situation_now(&self) -> Situation {
        let figures = self.shared.handle.look(|replica| {
            let (raft, store) = (replica.raft(), &replica.state().store);
            let indexes = (raft.commit_index().0, replica.last_applied().0);
            (indexes, store.bytes(), store.live_bytes())
        });
        let mut situation = self.situation();
        if let Ok(figures) = figures
            && let Ok(Ok(now)) = timeout(self.shared.limits.request_time, figures).await
        {
            (
                (situation.commit_index, situation.applied_index),
                situation.store_bytes,
                situation.live_bytes,
            ) = now;
        }
        situation
    }

    fn random(&self) -> u64 {
        crate::random::u64()
    }

    fn secret(&self) -> Result<[u8; 16], Refusal> {
        crate::random::secret().map_err(Refusal::Other)
    }

    async fn members(&self) -> Result<Vec<Member>, Refusal> {
        match in_time(&self.shared, AdminRequest::ListMembers).await {
            Ok(AdminAnswer::List { members, promised }) => Ok(told(members, promised)),
            Ok(_) => Err(Refusal::Other("the members were not told".to_owned())),
            Err(_) => Err(Refusal::Stopping),
        }
    }

    fn passwords(&self) -> &Passwords {
        &self.shared.passwords
    }

    async fn change_members(
        &self,
        change: MemberChange,
        token: Option<String>,
    ) -> Result<(u64, Vec<Member>), MemberRefusal> {
        members::change(&self.shared, change, token).await
    }
}

/// Who asks.
fn caller(request: &Request) -> Caller {
    match request {
        Request::OnBehalf(asked) => asked.caller.clone(),
        _ => Caller::Nobody,
    }
}

/// The members, as the services tell of them. Who has not come yet has no name; who is to vote is no learner, though it
/// has to catch up first: nobody needs to promote it.
pub(super) fn told(members: Vec<MemberStatus>, promised: Vec<PromisedMember>) -> Vec<Member> {
    let members = members.into_iter().map(|member| Member {
        id: member.id,
        name: member.name,
        peer_addr: member.peer_addr,
        client_addr: member.client_addr,
        is_learner: member.role == MemberRole::Learner && !member.will_vote,
    });
    let promised = promised.into_iter().map(|PromisedMember { id, peer_addr, is_learner }| Member {
        id,
        name: String::new(),
        peer_addr,
        client_addr: String::new(),
        is_learner,
    });
    let mut told: Vec<Member> = members.chain(promised).collect();
    told.sort_by_key(|member| member.id);
    told
}

fn refusal(error: RequestError) -> Refusal {
    match error {
        RequestError::NoLeader { why } => Refusal::NoLeader { why },
        RequestError::Removed { why } => Refusal::Removed { why },
        RequestError::Busy => Refusal::Busy,
        RequestError::NoRoom => Refusal::NoRoom,
        RequestError::TooLarge { .. } => Refusal::TooLarge,
        RequestError::OutcomeUnknown { .. } | RequestError::Deadline => Refusal::TimedOut,
        RequestError::Stopping => Refusal::Stopping,
        RequestError::Bad(why) => Refusal::Other(why),
    }
}
