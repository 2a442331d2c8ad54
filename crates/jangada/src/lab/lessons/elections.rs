//! Checks: somebody leads, a vote is split, a leader is killed (Paper §5.2).

use std::collections::{BTreeMap, BTreeSet};

use jangada_raft::event::{Event as RaftEvent, RoleName, VoteRefusal};
use jangada_raft::types::{NodeId, Term};
use jangada_trace::say;

use super::scene::{Notes, Scene, Verdict, majority, names};

/// One leads, a majority follows it, and no term had two leaders.
pub fn somebody_leads(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    let voters = leader.membership.all_voters();
    let with_it: BTreeSet<NodeId> = scene
        .views()
        .into_iter()
        .filter(|view| view.term == leader.term && (view.id == leader.id || view.leader == Some(leader.id)))
        .map(|view| view.id)
        .collect();
    if with_it.len() < majority(voters.len()) {
        return Err(say!(
            scene.language,
            "{id} leads term {term}, known to {with} only, and {needs} are a majority of {of}: let time pass",
            id = leader.id,
            term = leader.term,
            with = names(&with_it),
            needs = majority(voters.len()),
            of = voters.len()
        ));
    }
    let mut leaders: BTreeMap<Term, BTreeSet<NodeId>> = BTreeMap::new();
    for (node, event) in scene.happened() {
        if let RaftEvent::RoleChanged { role: RoleName::Leader, term, .. } = event {
            leaders.entry(term).or_default().insert(node);
        }
    }
    assert!(leaders.values().all(|ids| ids.len() == 1), "a term has one leader: {leaders:?}");
    *notes = Notes::about(&leader);
    Ok(vec![
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("votes", names(&scene.voters_for(leader.id, leader.term))),
        ("of", voters.len().to_string()),
        ("follow", names(&with_it.into_iter().filter(|id| *id != leader.id).collect::<Vec<_>>())),
    ])
}

/// Another one than before leads a later term.
pub fn another_leads(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    if leader.id == notes.server {
        return Err(say!(
            scene.language,
            "{id} still leads, now term {term}: somebody else is to",
            id = leader.id,
            term = leader.term
        ));
    }
    let facts = vec![
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("old", notes.server.to_string()),
        ("before", notes.term.to_string()),
        ("votes", names(&scene.voters_for(leader.id, leader.term))),
    ];
    (notes.server, notes.term) = (leader.id, leader.term);
    Ok(facts)
}

/// Two or more stood in one term, the votes were split between them, and nobody won.
pub fn votes_are_split(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let mut stood: BTreeMap<Term, BTreeSet<NodeId>> = BTreeMap::new();
    let mut won = BTreeMap::new();
    let mut split = BTreeSet::new();
    for (node, event) in scene.happened() {
        match event {
            RaftEvent::RoleChanged { role: RoleName::Candidate, term, .. } => {
                stood.entry(term).or_default().insert(node);
            }
            RaftEvent::RoleChanged { role: RoleName::Leader, term, .. } => {
                won.insert(term, node);
            }
            RaftEvent::VoteRefused {
                term, pre_vote: false, why: VoteRefusal::AlreadyVoted { .. }, ..
            } => {
                split.insert(term);
            }
            _ => {}
        }
    }
    let in_vain = |(term, who): &(&Term, &BTreeSet<NodeId>)| who.len() > 1 && !won.contains_key(*term);
    let Some((term, who)) = stood.iter().rev().find(in_vain) else {
        return Err(match (stood.iter().next_back(), won.iter().next_back()) {
            (_, Some((term, leader))) => say!(
                scene.language,
                "{leader} won term {term}: the others stood too late, or its votes came first (`lesson again`)",
                leader,
                term
            ),
            (Some((term, who)), None) => {
                say!(scene.language, "only {who} stood in term {term}", who = names(who), term)
            }
            (None, None) => say!(scene.language, "nobody has stood for election yet"),
        });
    };
    let counting = scene.views().iter().any(|view| view.role == RoleName::Candidate && view.term == *term);
    if counting || !split.contains(term) {
        return Err(say!(
            scene.language,
            "the votes of term {term} are still on their way: let a few milliseconds pass",
            term
        ));
    }
    notes.term = *term;
    let tally = who.iter().map(|id| format!("{id}: {}", scene.voters_for(*id, *term).len()));
    let of = scene.cluster.servers().len();
    Ok(vec![
        ("term", term.to_string()),
        ("tally", tally.collect::<Vec<_>>().join(", ")),
        ("of", of.to_string()),
        ("needs", majority(of).to_string()),
    ])
}

/// A later term than the split one has a leader.
pub fn a_later_term_decides(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    if leader.term <= notes.term {
        return Err(say!(
            scene.language,
            "{id} leads term {term}: these are other servers than before (`lesson again`)",
            id = leader.id,
            term = leader.term
        ));
    }
    Ok(vec![
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("split", notes.term.to_string()),
        ("votes", names(&scene.voters_for(leader.id, leader.term))),
    ])
}

/// `d` has a value on a majority, the leader among them.
pub fn a_write_is_kept(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    let Some(value) = scene.value(leader.id) else {
        return Err(say!(scene.language, "`d` has no value at {id}, who leads: `set d 8`", id = leader.id));
    };
    let (holders, of) = (scene.holders(&value), leader.membership.all_voters().len());
    if holders.len() < majority(of) {
        return Err(say!(
            scene.language,
            "so far it is applied at {holders} only: let time pass (`run 200ms`)",
            holders = names(&holders)
        ));
    }
    let facts = vec![
        ("leader", leader.id.to_string()),
        ("value", value.clone()),
        ("holders", names(&holders)),
        ("term", leader.term.to_string()),
    ];
    *notes = Notes { value, ..Notes::about(&leader) };
    Ok(facts)
}

/// The leader is down, another leads a later term, and the write is still there.
pub fn it_is_replaced(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let old = notes.server;
    if scene.cluster.view(old).is_some() {
        return Err(say!(
            scene.language,
            "{id} runs, and it is the one to be killed: `crash {number}`",
            id = old,
            number = old.0
        ));
    }
    let leader = scene.leader()?;
    let value = scene.value(leader.id).unwrap_or_default();
    if value != notes.value {
        return Err(say!(
            scene.language,
            "`d` is `{value}` at {id} by now, and was `{before}`: `lesson again`",
            value,
            id = leader.id,
            before = notes.value
        ));
    }
    let facts = vec![
        ("old", old.to_string()),
        ("before", notes.term.to_string()),
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("votes", names(&scene.voters_for(leader.id, leader.term))),
        ("value", value),
    ];
    Ok(facts)
}

/// The killed one runs again, follows whoever leads now, and has what it had.
pub fn it_follows(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let old = notes.server;
    let Some(view) = scene.cluster.view(old) else {
        return Err(say!(scene.language, "{id} is down still: `restart {number}`", id = old, number = old.0));
    };
    let leader = scene.leader()?;
    if leader.id == old {
        return Err(say!(
            scene.language,
            "{id} leads again: it stood for election itself, and was to follow (`lesson again`)",
            id = old
        ));
    }
    if view.leader != Some(leader.id) || view.term != leader.term {
        return Err(say!(
            scene.language,
            "{id} has not heard from {leader} yet: let time pass",
            id = old,
            leader = leader.id
        ));
    }
    if scene.value(old).is_none() || scene.value(old) != scene.value(leader.id) {
        return Err(say!(
            scene.language,
            "{id} has not applied what {leader} has: let time pass",
            id = old,
            leader = leader.id
        ));
    }
    Ok(vec![
        ("old", old.to_string()),
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("before", notes.term.to_string()),
        ("value", scene.value(old).unwrap_or_default()),
    ])
}
