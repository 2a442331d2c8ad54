//! Checks: who is a member (Paper §6), and what clients may believe (Paper §8).

use std::collections::BTreeSet;

use jangada_raft::event::{Event as RaftEvent, MembershipStage};
use jangada_raft::types::NodeId;
use jangada_sim::script::cluster::View;
use jangada_trace::say;

use super::scene::{Asked, Notes, Scene, Verdict, majority, names};

/// The voters of the leader's configuration, which is committed and no joint one.
fn settled_voters(scene: &Scene<'_>, leader: &View<'_>) -> Result<BTreeSet<NodeId>, String> {
    if leader.membership.outgoing.is_some() || !leader.membership_is_committed {
        return Err(say!(
            scene.language,
            "the change is under way: its entry {index} is not committed yet",
            index = leader.membership_index
        ));
    }
    Ok(leader.membership.voters.clone())
}

/// Five vote instead of three, and there was a joint configuration on the way.
pub fn two_more_vote(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    let voters = settled_voters(scene, &leader)?;
    if voters.len() != 5 {
        return Err(say!(
            scene.language,
            "{count} vote ({voters}), and five are to: `add 4 5`",
            count = voters.len(),
            voters = names(&voters)
        ));
    }
    let joint: BTreeSet<u64> = scene
        .happened()
        .filter_map(|(_, event)| match event {
            RaftEvent::MembershipChanged { stage: MembershipStage::Joint, index, .. } => Some(index.0),
            _ => None,
        })
        .collect();
    let joint: Vec<String> = joint.iter().map(ToString::to_string).collect();
    (notes.server, notes.term) = (leader.id, leader.term);
    Ok(vec![
        ("voters", names(&voters)),
        ("joint", joint.join(" ")),
        ("index", leader.membership_index.to_string()),
        ("leader", leader.id.to_string()),
    ])
}

/// The one that led is no member any more, and another leads.
pub fn the_leader_leaves(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let leader = scene.leader()?;
    let voters = settled_voters(scene, &leader)?;
    if voters.contains(&notes.server) {
        return Err(say!(
            scene.language,
            "{id} is a member still, among {voters}: `remove {number}`",
            id = notes.server,
            voters = names(&voters),
            number = notes.server.0
        ));
    }
    let facts = vec![
        ("old", notes.server.to_string()),
        ("voters", names(&voters)),
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("needs", majority(voters.len()).to_string()),
        ("of", voters.len().to_string()),
    ];
    *notes = Notes::about(&leader);
    Ok(facts)
}

/// As many members are down as the cluster can bear, and it still commits.
pub fn as_many_fail_as_may(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let members = scene
        .views()
        .iter()
        .max_by_key(|view| (view.term, view.commit_index))
        .map(|view| view.membership.voters.clone());
    let members = members.unwrap_or_default();
    let down: Vec<NodeId> = scene.down().into_iter().filter(|id| members.contains(id)).collect();
    let may = members.len() - majority(members.len()).min(members.len());
    if down.len() != may {
        return Err(say!(
            scene.language,
            "{down} of {of} members are down, and {may} may be: no more and no less",
            down = down.len(),
            of = members.len(),
            may
        ));
    }
    let leader = scene.leader()?;
    let Some(value) = scene.value(leader.id).filter(|_| leader.commit_index > notes.last) else {
        return Err(say!(scene.language, "nothing was written since: `set d 8`"));
    };
    Ok(vec![
        ("down", names(&down)),
        ("of", members.len().to_string()),
        ("needs", majority(members.len()).to_string()),
        ("holders", names(&scene.holders(&value))),
        ("value", value),
    ])
}

/// The old leader is cut off and has the old value; the new one has another.
pub fn two_truths(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let old = notes.server;
    if scene.cluster.view(old).is_none() {
        return Err(say!(
            scene.language,
            "{id} is down, and it is to run and hear nobody: `restart {number}`, `isolate {number}`",
            id = old,
            number = old.0
        ));
    }
    let leader = scene.leader()?;
    if leader.id == old {
        return Err(say!(
            scene.language,
            "{id} still leads term {term}: `isolate leader`, and let the others elect",
            id = old,
            term = leader.term
        ));
    }
    let (here, there) = (scene.value(old).unwrap_or_default(), scene.value(leader.id).unwrap_or_default());
    if here == there {
        return Err(say!(
            scene.language,
            "`d` is `{value}` at {old} and at {leader}: write another value while {old} is cut off",
            value = here,
            old,
            leader = leader.id
        ));
    }
    (notes.value, notes.term) = (there.clone(), leader.term);
    Ok(vec![
        ("old", old.to_string()),
        ("here", here),
        ("leader", leader.id.to_string()),
        ("term", leader.term.to_string()),
        ("there", there),
    ])
}

/// What this server was asked last, if that was `get d`.
fn asked_for_d<'a>(scene: &'a Scene<'_>, server: NodeId) -> Result<&'a Asked, String> {
    let asked = scene.asked.as_ref().filter(|asked| asked.at == server && asked.what == "get d");
    asked.ok_or_else(|| {
        say!(
            scene.language,
            "{old} was not asked for `d` just now: `get d at {number}`",
            old = server,
            number = server.0
        )
    })
}

/// The old leader was asked for `d`, and refused.
pub fn the_old_one_does_not_say_it(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let old = notes.server;
    let asked = asked_for_d(scene, old)?;
    if !asked.refused {
        return Err(say!(
            scene.language,
            "{old} answered `{answer}`: it hears the others again (`isolate {number}`)",
            old,
            answer = asked.told,
            number = old.0
        ));
    }
    Ok(vec![
        ("old", old.to_string()),
        ("here", scene.value(old).unwrap_or_default()),
        ("answer", asked.told.clone()),
    ])
}

/// The old leader hears the others, and answers with what they wrote.
pub fn one_truth(scene: &Scene<'_>, notes: &mut Notes) -> Verdict {
    let (old, leader) = (notes.server, scene.leader()?);
    let asked = asked_for_d(scene, old)?;
    if asked.refused || asked.answer != notes.value {
        return Err(say!(
            scene.language,
            "{old} answered `{answer}`, and the others wrote `{value}`: `heal`, let time pass, ask again",
            old,
            answer = asked.told,
            value = notes.value
        ));
    }
    Ok(vec![("old", old.to_string()), ("value", notes.value.clone()), ("leader", leader.id.to_string())])
}
