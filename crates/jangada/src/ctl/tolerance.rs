//! How many more voters may fail, by what members say over etcd's API and the leader over HTTP; `crate::tolerance` counts.

use std::time::Instant;

use jangada_etcd::etcdserverpb as pb;
use jangada_server::status::{MemberStatus, Status};
use tokio::task::spawn_blocking;

use super::status::{View, address};
use crate::client::http;
use crate::client::wire::reason;
use crate::tolerance::{self, Answer, Count, Part, part};

/// Under many writes a follower that keeps up may be some hundred entries behind.
const FAR_BEHIND: u64 = 1_000;

/// Asks a leader of ours whom it hears. An etcd does not tell: nothing then.
///
/// # Errors
/// Why it did not say, in a few words.
pub async fn heard(leader: &pb::Member, until: Instant) -> Result<Option<Status>, String> {
    let Some(address) = address(leader) else { return Ok(None) };
    let asked = spawn_blocking(move || http::get(&address, "/status", until)).await;
    let answer = asked.expect("asking does not panic").map_err(|error| reason(&error))?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|error| error.to_string()),
        404 => Ok(None),
        other => Err(format!("HTTP {other}")),
    }
}

/// How a voter that answers stands apart from the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Its name.
    pub name: String,
    /// In what way, as a part of a sentence.
    pub how: String,
}

/// How many voters take part, and who does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// The voters, and those that take part.
    pub count: Count,
    /// How many answer.
    pub answering: usize,
    /// Who answers, and does not take part.
    pub apart: Vec<Apart>,
}

impl View {
    /// What the leader knows of a member.
    fn known(&self, member: &pb::Member) -> Option<&MemberStatus> {
        let known = self.heard.as_ref()?.membership.members.iter();
        known.into_iter().find(|known| known.id == member.id)
    }

    /// Whether a member has not come yet and so counts for nothing. An etcd counts it from the beginning.
    fn is_promised(&self, member: &pb::Member) -> bool {
        let heard = self.heard.as_ref();
        heard.is_some_and(|heard| heard.membership.promised.iter().any(|promised| promised.id == member.id))
    }

    /// Whether a member takes part, and if not, why.
    fn part(&self, member: &pb::Member) -> Part {
        let leader = self.leader();
        let answer = match self.of(member) {
            Err(_) if self.was_asked(member) => Answer::Nothing,
            Err(_) => Answer::NotAsked,
            Ok(_) if leader.is_some_and(|leader| leader.id == member.id) => Answer::Follows,
            Ok(said) => match (said.status.leader, leader) {
                (0, _) => Answer::Leaderless,
                (id, Some(leader)) if id != leader.id => Answer::FollowsAnother,
                _ => Answer::Follows,
            },
        };
        part(leader.is_some(), answer, self.known(member).map(|known| known.reachable))
    }

    /// In what way a member that answers stands apart, if it does.
    pub fn apart(&self, member: &pb::Member) -> Option<String> {
        let leader = &self.leader()?.name;
        match self.part(member) {
            Part::Takes | Part::Absent => None,
            Part::StandsApart(tolerance::Apart::Unheard) => {
                let place = self.known(member).map_or("", |known| known.peer_addr.as_str());
                Some(format!("{leader} does not hear it at {place}"))
            }
            Part::StandsApart(tolerance::Apart::Leaderless) => Some("it knows no leader".to_owned()),
            Part::StandsApart(tolerance::Apart::FollowsAnother) => {
                Some(format!("it does not follow {leader}"))
            }
        }
    }

    /// That a leader does not tell whom it hears: who is cut off from it may not be known then.
    pub fn tells_nothing(&self, member: &pb::Member) -> Option<String> {
        let why = self.unheard.as_ref()?;
        let leads = self.leader().is_some_and(|leader| leader.id == member.id);
        leads.then(|| format!("it does not say whom it hears ({why})"))
    }

    /// That a member is far behind: it takes part, but until it has caught up no write can rely on it.
    pub fn behind(&self, member: &pb::Member) -> Option<String> {
        let lag = self.known(member)?.lag.filter(|lag| *lag >= FAR_BEHIND)?;
        Some(format!("{lag} entries behind"))
    }

    /// Whether its own address was asked, and nobody else answered there.
    fn was_asked(&self, member: &pb::Member) -> bool {
        let address = address(member);
        self.seen.iter().any(|one| Some(&one.endpoint) == address.as_ref() && one.answer.is_err())
    }

    /// How many more voters may fail.
    pub fn tolerance(&self) -> Tolerance {
        let counts = |member: &&pb::Member| !member.is_learner && !self.is_promised(member);
        let voters: Vec<&pb::Member> = self.members.iter().filter(counts).collect();
        let apart = voters
            .iter()
            .filter_map(|member| self.apart(member).map(|how| Apart { name: member.name.clone(), how }));
        Tolerance {
            count: Count {
                voters: voters.len(),
                there: voters.iter().filter(|member| self.part(member) == Part::Takes).count(),
                is_led: self.leader().is_some(),
            },
            answering: voters.iter().filter(|member| self.of(member).is_ok()).count(),
            apart: apart.collect(),
        }
    }
}

impl Tolerance {
    /// All of it as one sentence.
    pub fn sentence(&self) -> String {
        let Count { voters, there, is_led } = self.count;
        let answer = if there == 1 { "answers" } else { "answer" };
        let (answer, apart) = match self.apart.as_slice() {
            [] => (answer, String::new()),
            apart => {
                let apart: Vec<String> =
                    apart.iter().map(|Apart { name, how }| format!("{name}: {how}")).collect();
                let take = if there == 1 { "takes part" } else { "take part" };
                (take, format!(" ({})", apart.join("; ")))
            }
        };
        if !self.count.has_quorum() {
            let missing = self.count.missing();
            return format!(
                "no quorum: {there} of {voters} voters {answer}{apart}; writes wait until {missing} more {}",
                if missing == 1 { "returns" } else { "return" }
            );
        }
        let what = match (is_led, self.count.spare()) {
            (false, _) => "nobody leads: writes wait until one of them is elected".to_owned(),
            (true, 0) => "the next failure stops writes".to_owned(),
            (true, spare) => format!("{spare} more may fail, {} failures stop writes", spare + 1),
        };
        format!("{there} of {voters} voters {answer}{apart}; {what}")
    }
}

#[cfg(test)]
mod tests {
    use jangada_server::status::{MemberRole, MembershipStage, MembershipStatus, PromisedMember};

    use super::super::status::{Said, Seen, row};
    use super::*;

    #[test]
    fn it_is_said_how_many_more_may_fail() {
        let tolerance = |there, voters, is_led| Tolerance {
            count: Count { voters, there, is_led },
            answering: there,
            apart: Vec::new(),
        };
        let sentence = |there, voters| tolerance(there, voters, true).sentence();
        assert_eq!(sentence(3, 3), "3 of 3 voters answer; 1 more may fail, 2 failures stop writes");
        assert_eq!(sentence(2, 3), "2 of 3 voters answer; the next failure stops writes");
        assert_eq!(sentence(1, 3), "no quorum: 1 of 3 voters answers; writes wait until 1 more returns");
        assert_eq!(sentence(1, 5), "no quorum: 1 of 5 voters answers; writes wait until 2 more return");
        assert_eq!(sentence(1, 1), "1 of 1 voters answers; the next failure stops writes");
        assert_eq!(sentence(5, 5), "5 of 5 voters answer; 2 more may fail, 3 failures stop writes");
        let leaderless = tolerance(3, 3, false);
        assert!(leaderless.sentence().ends_with("nobody leads: writes wait until one of them is elected"));
    }

    fn member(id: u64) -> pb::Member {
        pb::Member {
            id,
            name: format!("n{id}"),
            client_ur_ls: vec![format!("http://a:{id}")],
            ..pb::Member::default()
        }
    }

    /// Three voters, of which n1 leads; each follows whom it is said to, or does not answer.
    fn view(follow: [Option<u64>; 3], reachable: Option<[bool; 3]>) -> View {
        let seen = follow.iter().zip(1..).map(|(leader, id)| Seen {
            endpoint: format!("a:{id}"),
            answer: leader.ok_or_else(|| "connection refused".to_owned()).map(|leader| Said {
                status: pb::StatusResponse {
                    header: Some(pb::ResponseHeader { member_id: id, ..Default::default() }),
                    leader,
                    ..Default::default()
                },
                members: Vec::new(),
            }),
        });
        let heard = reachable.map(|reachable| {
            let known = reachable.into_iter().zip(1..).map(|(reachable, id)| MemberStatus {
                name: format!("n{id}"),
                id,
                role: MemberRole::Voter,
                will_vote: false,
                peer_addr: format!("p:{id}"),
                client_addr: String::new(),
                reachable,
                heard_ms_ago: None,
                match_index: None,
                lag: None,
            });
            let membership = MembershipStatus {
                stage: MembershipStage::Final,
                tolerates: 0,
                members: known.collect(),
                promised: Vec::new(),
            };
            Status { membership, ..Status::starting("n1", 1) }
        });
        View { members: (1..=3).map(member).collect(), seen: seen.collect(), heard, unheard: None }
    }

    #[test]
    fn a_voter_that_answers_but_is_cut_off_is_not_relied_on() {
        let spare = |follow, reachable| view(follow, reachable).tolerance().count.spare();
        let all = [Some(1), Some(1), Some(1)];
        assert_eq!((spare(all, None), spare(all, Some([true, true, true]))), (1, 1));
        let leaderless = view([Some(1), Some(1), Some(0)], None).tolerance();
        assert_eq!((leaderless.count.spare(), leaderless.answering, leaderless.count.serves()), (0, 3, true));
        assert_eq!(
            leaderless.sentence(),
            "2 of 3 voters take part (n3: it knows no leader); the next failure stops writes"
        );
        // What it sends does not arrive.
        let mute = view(all, Some([true, true, false])).tolerance();
        assert_eq!(mute.count.spare(), 0);
        assert!(mute.sentence().contains("(n3: n1 does not hear it at p:3)"), "{}", mute.sentence());
        let mut far = view(all, Some([true, true, true]));
        far.heard.as_mut().unwrap().membership.members[2].lag = Some(1_532);
        assert_eq!(far.behind(&member(3)).as_deref(), Some("1532 entries behind"));
        assert_eq!((far.behind(&member(2)), far.tolerance().count.spare()), (None, 1));
        // Who was added and has not come counts for nothing at our servers; an etcd counts it.
        let mut expected = view(all, Some([true, true, true]));
        expected.members.push(pb::Member { id: 4, ..pb::Member::default() });
        assert_eq!(expected.tolerance().sentence(), "3 of 4 voters answer; the next failure stops writes");
        let promised = PromisedMember { id: 4, peer_addr: "p:4".to_owned(), is_learner: false };
        expected.heard.as_mut().unwrap().membership.promised.push(promised);
        assert!(expected.tolerance().sentence().starts_with("3 of 3 voters answer; 1 more may fail"));
        // Whom nobody hears may believe for a while that it leads.
        let deposed = view([Some(1), Some(0), Some(0)], None).tolerance();
        assert!(
            !deposed.count.serves() && deposed.sentence().starts_with("no quorum: 1 of 3 voters takes part")
        );
    }

    #[test]
    fn who_cannot_be_asked_from_here_is_judged_by_the_leader() {
        let mut seen_by_leader = view([Some(1), Some(1), None], Some([true, true, true]));
        assert_eq!(seen_by_leader.tolerance().count.spare(), 0, "its port refused us");
        seen_by_leader.seen.pop();
        assert_eq!(seen_by_leader.tolerance().count.spare(), 1);
    }

    #[test]
    fn that_a_leader_does_not_say_whom_it_hears_is_told_of_the_leader() {
        let mut silent = view([Some(1), Some(1), Some(1)], None);
        assert_eq!(silent.tells_nothing(&member(1)), None, "an etcd has nothing to say");
        silent.unheard = Some("no answer in time".to_owned());
        let told = |id| silent.tells_nothing(&member(id));
        assert_eq!(told(1).as_deref(), Some("it does not say whom it hears (no answer in time)"));
        assert_eq!((told(2), told(3)), (None, None));
        assert_eq!(row(&silent, &member(1)).last(), told(1).as_ref(), "it stands in its row");
    }
}
