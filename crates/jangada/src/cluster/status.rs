//! How are you? What `GET /status` says, asked of all servers in parallel (a dead one delays nobody), and put
//! together: who leads, who is behind, how many more may fail.

use std::thread;
use std::time::{Duration, Instant};

use jangada_server::status::{MemberRole, MemberStatus, PromisedMember, RoleName, Status};
use serde::Serialize;

use crate::client::http;
use crate::client::wire::reason;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::tolerance::{self, Answer, Count, Part};

/// How long a member may think about `/status`.
pub const STATUS_PATIENCE: Duration = Duration::from_secs(1);

/// A server to ask: its name, as far as known, and its client address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name; empty when only the address is known.
    pub name: String,
    /// `HOST:PORT` of its client port.
    pub address: String,
}

/// What one server said, or why it said nothing.
#[derive(Clone, Debug)]
pub struct View {
    /// Who was asked.
    pub target: Target,
    /// What came back.
    pub answer: Result<Status, String>,
}

/// Targets of which only the addresses are known.
pub fn nameless(addresses: &[String]) -> Vec<Target> {
    addresses.iter().map(|address| Target { name: String::new(), address: address.clone() }).collect()
}

/// `GET /status` of one server.
///
/// # Errors
/// A few words: refused, no answer in time, not a status.
pub fn ask(address: &str, patience: Duration) -> Result<Status, String> {
    let answer = http::get(address, "/status", Instant::now() + patience).map_err(|error| reason(&error))?;
    if answer.status != 200 {
        return Err(format!("HTTP {}: {}", answer.status, answer.text()));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("its status cannot be read: {error}"))
}

/// Asks all of them at once; takes no longer than the slowest, at most [`STATUS_PATIENCE`].
pub fn ask_all(targets: &[Target]) -> Vec<View> {
    thread::scope(|scope| {
        let questions: Vec<_> =
            targets.iter().map(|target| scope.spawn(|| ask(&target.address, STATUS_PATIENCE))).collect();
        let answers = questions.into_iter().map(|question| question.join().expect("asking does not panic"));
        targets.iter().cloned().zip(answers).map(|(target, answer)| View { target, answer }).collect()
    })
}

/// Asks these, and then the members that they name and that were not asked yet. A member may know what the others do
/// not, so those are asked for addresses, too.
pub fn ask_cluster(addresses: &[String]) -> Overview {
    let mut overview = Overview::of(ask_all(&nameless(addresses)));
    loop {
        let others = overview.not_asked();
        if others.is_empty() {
            return overview;
        }
        overview.views.extend(ask_all(&others));
    }
}

/// The answers of all servers, put together.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Each server's own words.
    pub views: Vec<View>,
}

/// How many failures a group of voters survives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tolerance {
    /// The voters.
    pub voters: Vec<String>,
    /// Those that do not take part: they did not answer, or stand apart.
    pub down: Vec<String>,
    /// Those that answered, but do not follow the leader, or are not heard by it.
    pub apart: Vec<String>,
    /// How many more may fail; 0 also when there is no quorum, or no leader.
    pub tolerates: usize,
    /// Whether somebody leads.
    pub leader: bool,
    /// Whether a majority takes part.
    pub quorum: bool,
    /// What the last three follow from.
    #[serde(skip)]
    pub count: Count,
}

impl Overview {
    /// Puts the answers together.
    pub fn of(views: Vec<View>) -> Overview {
        Overview { views }
    }

    /// All that answered.
    pub fn statuses(&self) -> impl Iterator<Item = &Status> {
        self.views.iter().filter_map(|view| view.answer.as_ref().ok())
    }

    /// The leader of the highest term, if one answered that believes to be it.
    pub fn leader(&self) -> Option<&Status> {
        self.statuses().filter(|status| status.role == RoleName::Leader).max_by_key(|status| status.term)
    }

    /// The membership that counts: the leader's, else that of the server that has applied most.
    pub fn authority(&self) -> Option<&Status> {
        self.leader().or_else(|| self.statuses().max_by_key(|status| (status.term, status.applied_index)))
    }

    /// Members that nobody has asked yet, as far as somebody knows where they are.
    fn not_asked(&self) -> Vec<Target> {
        let strangers = self.strangers();
        let found = strangers.iter().filter_map(|name| {
            let address = self.address_of(name)?;
            let asked = self.views.iter().any(|view| view.target.address == address);
            (!asked).then(|| Target { name: (*name).to_owned(), address: address.to_owned() })
        });
        found.collect()
    }

    /// Members that did not answer and that nobody of those who did can find.
    pub fn nowhere(&self) -> Vec<&str> {
        self.strangers().into_iter().filter(|name| self.address_of(name).is_none()).collect()
    }

    /// Members that have neither answered nor been asked by their names.
    fn strangers(&self) -> Vec<&str> {
        let members = self.authority().map(|status| status.membership.members.as_slice()).unwrap_or_default();
        let known = |name: &str| {
            let asked = self.views.iter().any(|view| view.target.name == name);
            asked || self.statuses().any(|status| status.name == name)
        };
        members.iter().map(|member| member.name.as_str()).filter(|name| !known(name)).collect()
    }

    /// Where clients reach a member: the word of the authority first, then that of anybody.
    fn address_of(&self, name: &str) -> Option<&str> {
        let members =
            self.authority().into_iter().chain(self.statuses()).flat_map(|status| &status.membership.members);
        let mut named = members.filter(|member| member.name == name);
        named.find(|member| !member.client_addr.is_empty()).map(|member| member.client_addr.as_str())
    }

    /// The member whose clients connect there, as far as somebody knows.
    pub fn name_at(&self, address: &str) -> Option<&str> {
        let mut members = self.statuses().flat_map(|status| &status.membership.members);
        members.find(|member| member.client_addr == address).map(|member| member.name.as_str())
    }

    /// Whether a member takes part.
    fn part(&self, member: &MemberStatus) -> Part {
        let leader = self.leader().map(|leader| &leader.name);
        let own = self.statuses().find(|status| status.name == member.name);
        let answer = match own.map(|own| own.leader.as_ref()) {
            // A member that nobody asked (the client knows one address of three) is judged by whom the leader hears.
            None if self.views.iter().any(|view| view.target.name == member.name) => Answer::Nothing,
            None => Answer::NotAsked,
            Some(_) if leader == Some(&member.name) => return Part::Takes,
            Some(None) => Answer::Leaderless,
            Some(followed) if leader.is_some() && followed != leader => Answer::FollowsAnother,
            Some(_) => Answer::Follows,
        };
        tolerance::part(leader.is_some(), answer, Some(member.reachable))
    }

    /// Voters, and how many more may fail.
    pub fn tolerance(&self) -> Option<Tolerance> {
        let members = &self.authority()?.membership.members;
        let voters: Vec<(&MemberStatus, Part)> = members
            .iter()
            .filter(|member| member.role == MemberRole::Voter)
            .map(|member| (member, self.part(member)))
            .collect();
        let named = |is: fn(&Part) -> bool| -> Vec<String> {
            voters.iter().filter(|(_, part)| is(part)).map(|(voter, _)| voter.name.clone()).collect()
        };
        let there = named(|part| *part == Part::Takes).len();
        let count = Count { voters: voters.len(), there, is_led: self.leader().is_some() };
        Some(Tolerance {
            voters: named(|_| true),
            down: named(|part| *part != Part::Takes),
            apart: named(|part| matches!(part, Part::StandsApart(_))),
            tolerates: count.spare(),
            leader: count.is_led,
            quorum: count.has_quorum(),
            count,
        })
    }
}

impl Tolerance {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let Count { voters: all, there, .. } = self.count;
        let down = self.down.len();
        // Dead or paused: seen from here it is all the same.
        let silent: Vec<&str> =
            self.down.iter().filter(|name| !self.apart.contains(name)).map(String::as_str).collect();
        let plural = |names: usize, one, many| if names == 1 { one } else { many };
        // Who is cut off answers, and does not count.
        let (verb, not) = match self.apart.as_slice() {
            [] => ("answer", ""),
            _ => (plural(there, "takes part", "take part"), " answer"),
        };
        let mut why = Vec::new();
        if !silent.is_empty() {
            why.push(format!("{} {} not{not}", silent.join(", "), plural(silent.len(), "does", "do")));
        }
        if !self.apart.is_empty() {
            let are = plural(self.apart.len(), "is", "are");
            why.push(format!("{} {are} cut off from the leader", self.apart.join(", ")));
        }
        let why = why.join("; ");
        if !self.quorum {
            let missing = self.count.missing();
            return format!(
                "no quorum: {there} of {all} voters {verb} ({why}); writes wait until {missing} more return{}",
                if missing == 1 { "s" } else { "" },
            );
        }
        let answer = if down == 0 {
            format!("{all} of {all} voters answer")
        } else {
            format!("{there} of {all} voters {verb} ({why})")
        };
        match (self.leader, self.tolerates, down) {
            (false, _, _) => format!("{answer}; nobody leads: writes wait until one of them is elected"),
            (true, 0, 0) => format!("{answer}; none may fail"),
            (true, 0, _) => format!("{answer}; none more may fail"),
            (true, n, 0) => format!("{answer}; {n} may fail"),
            (true, n, _) => format!("{answer}; {n} more may fail"),
        }
    }
}

/// Prints the overview as the client sees it.
///
/// # Errors
/// 3 when nobody answered.
pub fn print_overview(overview: &Overview, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let servers: Vec<serde_json::Value> = overview.views.iter().map(view_json).collect();
        let leader = overview.leader().map(|status| status.name.clone());
        output::json(&serde_json::json!({
            "leader": leader, "tolerance": overview.tolerance(), "servers": servers,
        }))?;
    } else {
        let rows = overview.views.iter().map(|view| row(view, overview)).collect();
        output::line(&output::table(&COLUMNS, rows))?;
        print_sentences(overview)?;
    }
    match overview.statuses().next() {
        Some(_) => Ok(()),
        None => Err(Failure::unreachable(
            "no server answered; start one with `jangada serve` or `jangada cluster up`",
        )),
    }
}

/// What the table does not tell: how many may fail, and what keeps servers from serving.
///
/// # Errors
/// When stdout is closed.
pub fn print_sentences(overview: &Overview) -> Result<(), Failure> {
    let answer =
        overview.tolerance().map_or("no server answers".to_owned(), |tolerance| tolerance.sentence());
    output::line(&answer)?;
    let expected =
        overview.authority().map(|status| status.membership.promised.as_slice()).unwrap_or_default();
    for PromisedMember { id, peer_addr, is_learner } in expected {
        let what = if *is_learner { "learner" } else { "voter" };
        output::line(&format!("one more {what} is expected at {peer_addr} (member {id:x})"))?;
    }
    for status in overview.statuses() {
        if let Some(problem) = &status.problem {
            output::line(&format!("{}: {problem}", status.name))?;
        }
    }
    Ok(())
}

/// The columns of [`row`].
pub const COLUMNS: [&str; 8] = ["NAME", "STATE", "TERM", "COMMIT", "APPLIED", "LAG", "KEYS", "CLIENT"];

/// One server's line in a table.
pub fn row(view: &View, overview: &Overview) -> Vec<String> {
    match &view.answer {
        Ok(status) => {
            let lag = overview.leader().and_then(|leader| {
                leader
                    .membership
                    .members
                    .iter()
                    .find(|member| member.id == status.id)
                    .and_then(|member| member.lag)
            });
            vec![
                status.name.clone(),
                status.role.as_str().to_owned(),
                status.term.to_string(),
                status.commit_index.to_string(),
                status.applied_index.to_string(),
                lag.map_or("-".to_owned(), |lag| lag.to_string()),
                status.keys.to_string(),
                view.target.address.clone(),
            ]
        }
        Err(why) => {
            let dash = || "-".to_owned();
            let name = if view.target.name.is_empty() { "?".to_owned() } else { view.target.name.clone() };
            vec![name, why.clone(), dash(), dash(), dash(), dash(), dash(), view.target.address.clone()]
        }
    }
}

/// One server's object in a JSON document.
pub fn view_json(view: &View) -> serde_json::Value {
    match &view.answer {
        Ok(status) => serde_json::to_value(status).expect("a status has string keys"),
        Err(why) => serde_json::json!({
            "name": view.target.name, "client_addr": view.target.address, "error": why,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> MemberStatus {
        MemberStatus {
            name: name.into(),
            id: 0,
            role: MemberRole::Voter,
            will_vote: false,
            peer_addr: String::new(),
            client_addr: String::new(),
            reachable: true,
            heard_ms_ago: None,
            match_index: None,
            lag: None,
        }
    }

    fn view(name: &str, status: Option<(RoleName, u64)>) -> View {
        let status = status.map(|(role, term)| {
            let mut status = Status { role, term, ..Status::starting(name, 0) };
            status.leader = Some("n1".into());
            status.membership.members = ["n1", "n2", "n3"].map(member).to_vec();
            status
        });
        let target = Target { name: name.into(), address: "127.0.0.1:1".into() };
        View { target, answer: status.ok_or_else(|| "connection refused".to_owned()) }
    }

    #[test]
    fn the_leader_is_the_one_of_the_highest_term() {
        let overview = Overview::of(vec![
            view("n1", Some((RoleName::Leader, 3))),
            view("n2", Some((RoleName::Leader, 4))),
        ]);
        assert_eq!(overview.leader().unwrap().name, "n2");
    }

    #[test]
    fn what_one_member_knows_of_anothers_address_is_enough() {
        let mut leader = view("n1", Some((RoleName::Leader, 1)));
        let mut other = view("n2", Some((RoleName::Follower, 1)));
        let overview = Overview::of(vec![leader.clone()]);
        assert_eq!((overview.not_asked(), overview.nowhere()), (Vec::new(), vec!["n2", "n3"]));

        leader.answer.as_mut().unwrap().membership.members[1].client_addr = "127.0.0.1:2".into();
        let overview = Overview::of(vec![leader.clone()]);
        let n2 = Target { name: "n2".into(), address: "127.0.0.1:2".into() };
        assert_eq!((overview.not_asked(), overview.nowhere()), (vec![n2], vec!["n3"]));

        other.answer.as_mut().unwrap().membership.members[2].client_addr = "127.0.0.1:3".into();
        let n3 = Target { name: "n3".into(), address: "127.0.0.1:3".into() };
        let mut overview = Overview::of(vec![leader, other]);
        assert_eq!((overview.not_asked(), overview.nowhere()), (vec![n3.clone()], Vec::new()));
        // Whoever was asked is not asked again, though nothing came back.
        overview.views.push(View { target: n3, answer: Err("connection refused".into()) });
        assert_eq!((overview.not_asked(), overview.nowhere()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn tolerance_counts_those_that_answer() {
        let all = |three: Option<(RoleName, u64)>| {
            Overview::of(vec![
                view("n1", Some((RoleName::Leader, 1))),
                view("n2", Some((RoleName::Follower, 1))),
                view("n3", three),
            ])
        };
        let healthy = all(Some((RoleName::Follower, 1))).tolerance().unwrap();
        assert_eq!((healthy.tolerates, healthy.quorum), (1, true));
        assert_eq!(healthy.sentence(), "3 of 3 voters answer; 1 may fail");
        let hurt = all(None).tolerance().unwrap();
        assert_eq!((hurt.tolerates, hurt.quorum), (0, true));
        assert_eq!(hurt.sentence(), "2 of 3 voters answer (n3 does not); none more may fail");
        let lost =
            Overview::of(vec![view("n1", Some((RoleName::Follower, 1))), view("n2", None), view("n3", None)]);
        let lost = lost.tolerance().unwrap();
        assert_eq!((lost.tolerates, lost.quorum), (0, false));
        assert!(lost.sentence().starts_with("no quorum: 1 of 3"), "{}", lost.sentence());
    }

    #[test]
    fn who_answers_but_is_cut_off_from_the_leader_does_not_count() {
        let views = || ["n1", "n2", "n3"].map(|name| view(name, Some((RoleName::Follower, 1))));
        let leaderless = Overview::of(views().to_vec()).tolerance().unwrap();
        assert_eq!((leaderless.tolerates, leaderless.quorum, leaderless.leader), (0, true, false));
        assert!(leaderless.sentence().contains("nobody leads"), "{}", leaderless.sentence());
        let mut views = views();
        let statuses = |views: &mut [View; 3]| views.each_mut().map(|view| view.answer.clone().unwrap());
        let [mut leader, _, mut third] = statuses(&mut views);
        leader.role = RoleName::Leader;
        let tolerance = |leader: &Status, third: &Status| {
            let mut views = views.clone();
            (views[0].answer, views[2].answer) = (Ok(leader.clone()), Ok(third.clone()));
            Overview::of(views.to_vec()).tolerance().unwrap()
        };
        assert_eq!(tolerance(&leader, &third).tolerates, 1);
        third.leader = None;
        let apart = tolerance(&leader, &third);
        assert_eq!((apart.tolerates, apart.apart.as_slice()), (0, &["n3".to_owned()][..]));
        let said = "2 of 3 voters take part (n3 is cut off from the leader); none more may fail";
        assert_eq!(apart.sentence(), said);
        third.leader = Some("n1".into());
        leader.membership.members[2].reachable = false;
        assert_eq!(tolerance(&leader, &third).apart, ["n3"]);
    }
}
