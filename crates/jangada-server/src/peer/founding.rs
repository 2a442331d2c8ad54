//! How a cluster comes into being.
//!
//! Before the first election, all founding members meet once: the founder (the one with the smallest number)
//! collects their incarnations, draws the cluster's identity, and writes the founding record; the others ask
//! until they are given it. Each makes it durable before its Raft starts. From then on an empty server under
//! an old name is recognised by its incarnation and refused, however early its disk was lost.

use std::time::{Duration, Instant};

use jangada_node::book::node_id;
use jangada_raft::types::NodeId;
use tokio::task::JoinSet;

use crate::config::{Founding, ServerConfig};
use crate::error::ServerError;
use crate::peer::directory::Directory;
use crate::peer::handshake::{Card, FoundingRecord, Member, Purpose, Refusal, Welcome};
use crate::peer::link::knock;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
const FIRST_NOTICE: Duration = Duration::from_secs(2);
const NEXT_NOTICE: Duration = Duration::from_secs(10);

/// The cluster as this server first knows it.
pub(crate) struct Founded {
    pub(crate) cluster: u64,
    /// `None` for a server that joins later.
    pub(crate) record: Option<FoundingRecord>,
    /// This server made the record just now, so it may campaign at once: nobody else leads.
    pub(crate) by_me: bool,
    /// The number that the cluster has promised to this server.
    pub(crate) promised: Option<u64>,
}

/// What one peer said.
enum Said {
    /// It is not founded either.
    Fresh(Card),
    /// Its cluster exists.
    Founded { cluster: u64, record: Option<FoundingRecord>, promised: Option<u64> },
    /// It does not want us.
    No(Refusal, String),
    /// It could not be asked: a sentence.
    Nothing(String),
}

/// Founds the cluster, or waits until it is founded.
///
/// `notice` is told now and then for whom we wait.
pub(crate) async fn found(
    config: &ServerConfig,
    directory: &Directory,
    notice: impl Fn(&str),
) -> Result<Founded, ServerError> {
    let me = directory.me();
    if config.peers.is_empty() {
        return Ok(made_by_me(crate::random::u64(), vec![Member::from(&me)]));
    }
    if config.founding == Founding::Static {
        return Ok(given(config, &me));
    }
    let started = Instant::now();
    let mut next_notice = started + FIRST_NOTICE;
    let mut pause = FIRST_PAUSE;
    loop {
        let said = ask_all(config, directory).await;
        if let Some(founded) = judge(config, &me, &said)? {
            return Ok(founded);
        }
        if Instant::now() >= next_notice {
            next_notice = Instant::now() + NEXT_NOTICE;
            notice(&waiting_for(config, &said));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The table of the lab: taken as given.
fn given(config: &ServerConfig, me: &Card) -> Founded {
    let mut names = String::new();
    let members = config.peers.iter().map(|(name, addr)| {
        names.push_str(name);
        names.push_str(addr);
        let client_addr = if *name == config.name { me.client_addr.clone() } else { String::new() };
        Member {
            id: node_id(name).0,
            name: name.clone(),
            incarnation: 0,
            peer_addr: addr.clone(),
            client_addr,
        }
    });
    let members: Vec<Member> = members.collect();
    let cluster = node_id(&names).0;
    let record = Some(FoundingRecord { cluster, members });
    Founded { cluster, record, by_me: false, promised: None }
}

fn made_by_me(cluster: u64, mut members: Vec<Member>) -> Founded {
    members.sort_by_key(|member| member.id);
    let record = Some(FoundingRecord { cluster, members });
    Founded { cluster, record, by_me: true, promised: None }
}

async fn ask_all(config: &ServerConfig, directory: &Directory) -> Vec<(String, Said)> {
    let mut questions = JoinSet::new();
    for (name, address) in config.peers.iter().filter(|(name, _)| *name != config.name) {
        let (name, address) = (name.clone(), address.clone());
        // The number of a member need not be that of its name; who joins wants any member of the cluster.
        let whom = (!config.joins()).then(|| node_id(&name));
        let hello = directory.hello(whom, Purpose::Ask);
        questions.spawn_local(async move {
            let said = match knock(&address, &hello).await {
                Ok((_, Welcome::Yes { me, founding, promised })) => match me.cluster {
                    Some(cluster) => Said::Founded { cluster, record: founding, promised },
                    None => Said::Fresh(me),
                },
                Ok((_, Welcome::No { refusal, why })) => Said::No(refusal, why),
                Err(why) => Said::Nothing(format!("{name} at {address}: {why}")),
            };
            (name, said)
        });
    }
    questions.join_all().await
}

/// What follows from what the peers said; `None`: ask again.
fn judge(config: &ServerConfig, me: &Card, said: &[(String, Said)]) -> Result<Option<Founded>, ServerError> {
    // The word of one that knows the cluster counts for more than a refusal: that may come from a server which
    // has been away and knows this one by an earlier disk.
    // Who is behind may not know of a promise yet.
    let promised = said.iter().find_map(|(_, said)| match said {
        Said::Founded { promised, .. } => *promised,
        Said::Fresh(_) | Said::No(..) | Said::Nothing(_) => None,
    });
    for (name, said) in said {
        if let Said::Founded { cluster, record, .. } = said {
            let adopted = adopt(config, me, name, *cluster, record.as_ref())?;
            return Ok(Some(Founded { promised: promised.filter(|_| config.joins()), ..adopted }));
        }
    }
    let mut fresh = Vec::new();
    for (name, said) in said {
        match said {
            Said::No(refusal, why) if *refusal != Refusal::NotFounded => {
                return Err(ServerError::Refused(format!("{name} refuses this server: {why}")));
            }
            Said::Fresh(card) => fresh.push(card),
            Said::Founded { .. } | Said::No(..) | Said::Nothing(_) => {}
        }
    }
    let everybody = fresh.len() + 1 == config.peers.len();
    let founder = config.peers.iter().map(|(name, _)| node_id(name)).min();
    if config.joins() || !everybody || founder != Some(NodeId(me.id)) {
        return Ok(None);
    }
    let members = fresh.into_iter().map(Member::from).chain([Member::from(me)]).collect();
    Ok(Some(made_by_me(crate::random::u64(), members)))
}

fn adopt(
    config: &ServerConfig,
    me: &Card,
    from: &str,
    cluster: u64,
    record: Option<&FoundingRecord>,
) -> Result<Founded, ServerError> {
    let adopted = |record| Founded { cluster, record, by_me: false, promised: None };
    let Some(record) = record.filter(|_| !config.joins()) else { return Ok(adopted(None)) };
    match record.members.iter().find(|member| member.id == me.id) {
        Some(member) if member.incarnation == me.incarnation => Ok(adopted(Some(record.clone()))),
        Some(_) => Err(ServerError::Refused(format!(
            "{from} knows the cluster with another disk of {}: this data directory is empty, and with the old \
             one votes and entries were lost. Bring the old directory back, or remove {} from the cluster and \
             add it again",
            me.name, me.name
        ))),
        None => Err(ServerError::Refused(format!(
            "the cluster of {from} was founded without {}: leave {} out of --peers and add it to the cluster \
             (jangada cluster add {})",
            me.name, me.name, me.name
        ))),
    }
}

fn waiting_for(config: &ServerConfig, said: &[(String, Said)]) -> String {
    let missing: Vec<&str> = (said.iter())
        .filter_map(|(_, said)| match said {
            Said::Nothing(why) => Some(why.as_str()),
            Said::Fresh(_) | Said::Founded { .. } | Said::No(..) => None,
        })
        .collect();
    if config.joins() {
        return format!("waiting for a member of the cluster to answer ({})", missing.join("; "));
    }
    if missing.is_empty() {
        return "waiting for the founder of the cluster, the first of --peers".to_owned();
    }
    format!("a new cluster begins once all its members have met; waiting for {}", missing.join("; "))
}
