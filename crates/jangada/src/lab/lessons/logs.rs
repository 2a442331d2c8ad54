//! Checks: how logs become equal, what is committed, and what takes the place of a log (Paper §5.3, §5.4, §7).

use std::collections::BTreeMap;

use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::{Index, NodeId, Term};
use jangada_trace::say;

use super::scene::{Notes, Scene, Verdict, majority, names};

const N1: NodeId = NodeId(1);
/// The log of Figure 7's leader.
const FIGURE_7: [u64; 10] = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
/// The term of the entry in Figure 8 that is about to be lost, and its place.
const FIGURE_8: (u64, usize) = (2, 2);

/// n1 leads term 8, with the votes of those whose logs are not ahead of its own.
pub fn the_figures_leader(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    if leader.id != N1 {
        return Err(say!(
            scene.language,
            "{id} leads term {term}, and the figure's leader is n1: `lesson again`, and n1 first",
            id = leader.id,
            term = leader.term
        ));
    }
    let refused: Vec<NodeId> = scene
        .happened()
        .filter(
            |(_, event)| matches!(event, RaftEvent::VoteRefused { to: N1, term, .. } if *term == leader.term),
        )
        .map(|(node, _)| node)
        .collect();
    let votes = scene.voters_for(N1, leader.term);
    (notes.server, notes.term) = (N1, leader.term);
    Ok(vec![
        ("term", leader.term.to_string()),
        ("votes", names(&votes)),
        ("refused", names(&refused)),
        ("needs", majority(scene.cluster.servers().len()).to_string()),
    ])
}

/// All seven logs are n1's, and none of its ten entries has changed.
pub fn all_logs_are_its_own(scene: &Scene<'_>, _: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    if let [down, ..] = scene.down().as_slice() {
        return Err(say!(scene.language, "{id} is down: `restart {number}`", id = down, number = down.0));
    }
    let log = scene.cluster.log_terms(leader.id);
    let ids = scene.cluster.servers().into_iter();
    let differ: Vec<NodeId> = ids.filter(|id| scene.cluster.log_terms(*id) != log).collect();
    if !differ.is_empty() {
        return Err(say!(
            scene.language,
            "the logs of {ids} differ from that of {leader}: let time pass",
            ids = names(&differ),
            leader = leader.id
        ));
    }
    let figure: Vec<Term> = FIGURE_7.into_iter().map(Term).collect();
    if !log.starts_with(&figure) {
        return Err(say!(
            scene.language,
            "the logs are equal, and have not the figure's ten entries: `lesson again`, and n1 first"
        ));
    }
    let mut removed: BTreeMap<NodeId, String> = BTreeMap::new();
    for (node, event) in scene.happened() {
        if let RaftEvent::Truncated { from, last } = event {
            let range = if from == last { from.to_string() } else { format!("{from}-{last}") };
            removed.insert(node, format!("{node}: {range}"));
        }
    }
    Ok(vec![
        ("leader", leader.id.to_string()),
        ("removed", removed.into_values().collect::<Vec<_>>().join(", ")),
        ("log", log.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    ])
}

/// How many of the servers have the entry of Figure 8.
fn have_the_entry(scene: &Scene<'_>) -> Vec<NodeId> {
    let (term, index) = FIGURE_8;
    let has = |id: &NodeId| scene.cluster.log_terms(*id).get(index - 1) == Some(&Term(term));
    scene.views().into_iter().map(|view| view.id).filter(has).collect()
}

fn is_committed(scene: &Scene<'_>) -> bool {
    let at = Index(FIGURE_8.1 as u64);
    let have = have_the_entry(scene);
    scene.views().iter().any(|view| have.contains(&view.id) && view.commit_index >= at)
}

/// (c) of the figure: n1 leads again, in term 4.
pub fn n1_leads_again(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let views = scene.views();
    let leader = views.iter().filter(|view| view.is_leader()).max_by_key(|view| view.term);
    match leader {
        Some(view) if view.id == N1 => {
            (notes.server, notes.term) = (N1, view.term);
            let have = have_the_entry(scene);
            let votes = scene.voters_for(N1, view.term);
            Ok(vec![("term", view.term.to_string()), ("votes", names(&votes)), ("have", names(&have))])
        }
        Some(view) => Err(say!(
            scene.language,
            "{id} leads term {term}, and here n1 is to lead: `lesson again`, and n1 first",
            id = view.id,
            term = view.term
        )),
        None => Err(say!(scene.language, "nobody leads yet: `timeout 1`, and let 100 ms pass")),
    }
}

/// (c): the entry of term 2 is on a majority, and not committed.
pub fn old_and_on_a_majority(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let have = have_the_entry(scene);
    let of = scene.cluster.servers().len();
    if is_committed(scene) {
        return Err(say!(
            scene.language,
            "it is committed, as an entry of term {term} stands behind it on a majority: that is case (e) of the \
             figure, and `lesson again` leads to (c)",
            term = notes.term
        ));
    }
    if have.len() < majority(of) {
        return Err(say!(
            scene.language,
            "entry 2 of term 2 is on {have}, and {needs} of {of} are a majority: deliver it to one more",
            have = names(&have),
            needs = majority(of),
            of
        ));
    }
    let commit = scene.cluster.view(N1).map_or(Index::ZERO, |view| view.commit_index);
    Ok(vec![
        ("have", names(&have)),
        ("of", of.to_string()),
        ("term", notes.term.to_string()),
        ("commit", commit.to_string()),
    ])
}

/// (d): another leader has put its own entry there, on all servers that run.
pub fn it_is_overwritten(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let have = have_the_entry(scene);
    if is_committed(scene) {
        return Err(say!(
            scene.language,
            "entry 2 of term 2 is committed, and stays for ever: `lesson again`, and crash n1 before that"
        ));
    }
    let leader = scene.leader()?;
    if leader.term <= notes.term {
        return Err(say!(scene.language, "{id} leads term {term} still", id = leader.id, term = leader.term));
    }
    if !have.is_empty() {
        return Err(say!(
            scene.language,
            "entry 2 of term 2 is on {have} still, and {leader} leads: let time pass",
            have = names(&have),
            leader = leader.id
        ));
    }
    let here = scene.cluster.log_terms(leader.id);
    let now = here.get(FIGURE_8.1 - 1).copied().unwrap_or_default();
    Ok(vec![
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("now", now.to_string()),
        ("votes", names(&scene.voters_for(leader.id, leader.term))),
    ])
}

/// One server is down, and the others go on.
pub fn one_is_away(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    let [away] = scene.down()[..] else {
        return Err(say!(
            scene.language,
            "{count} servers are down, and one is to be: `crash follower`",
            count = scene.down().len()
        ));
    };
    (notes.server, notes.term, notes.last) = (away, leader.term, leader.last_index);
    Ok(vec![
        ("away", away.to_string()),
        ("leader", leader.id.to_string()),
        ("last", leader.last_index.to_string()),
    ])
}

/// The leader's log begins behind what that server has: entries cannot be sent to it any more.
pub fn what_it_lacks_is_gone(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let away = notes.server;
    if scene.cluster.view(away).is_some() {
        return Err(say!(scene.language, "{id} is back already: `lesson again`", id = away));
    }
    let leader = scene.leader()?;
    if leader.last_index <= notes.last {
        return Err(say!(
            scene.language,
            "nothing was written since: `set a 1`, `set b 2`, then `snapshot leader`"
        ));
    }
    if leader.first_index <= notes.last.next() {
        return Err(say!(
            scene.language,
            "the log of {leader} still begins at entry {first}, and {id} needs entry {next}: `snapshot leader`",
            leader = leader.id,
            first = leader.first_index,
            id = away,
            next = notes.last.next()
        ));
    }
    Ok(vec![
        ("leader", leader.id.to_string()),
        ("first", leader.first_index.to_string()),
        ("next", notes.last.next().to_string()),
        ("away", away.to_string()),
        ("snapshot", leader.snapshot.to_string()),
    ])
}

/// It runs again, and a snapshot has taken the place of what it had.
pub fn it_got_the_snapshot(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let away = notes.server;
    let Some(view) = scene.cluster.view(away) else {
        return Err(say!(
            scene.language,
            "{id} is down still: `restart {number}`",
            id = away,
            number = away.0
        ));
    };
    let installed = scene.happened().filter_map(|(node, event)| match event {
        RaftEvent::SnapshotInstalled { index, from, .. } if node == away => Some((index, from)),
        _ => None,
    });
    let Some((index, from)) = installed.last() else {
        return Err(say!(scene.language, "{id} has got no snapshot yet: let time pass", id = away));
    };
    let leader = scene.leader()?;
    if view.applied.is_none() || view.applied != leader.applied {
        return Err(say!(
            scene.language,
            "{id} has not applied what {leader} has: let time pass",
            id = away,
            leader = leader.id
        ));
    }
    let applied = view.applied.unwrap_or_default();
    Ok(vec![
        ("away", away.to_string()),
        ("from", from.to_string()),
        ("index", index.to_string()),
        ("applied", applied.to_string()),
    ])
}
