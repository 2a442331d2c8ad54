//! member list, add, remove, update, promote; move-leader. Members go by their names or by their numbers.

use std::time::Duration;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::cluster_client::ClusterClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;

use super::Ctl;
use super::cluster::{Cluster, Effect};
use super::grammar::MemberWord;
use super::print::{Answer, add_text};
use super::status::{address, view};
use super::tree::{Tree, header, text};
use crate::client::wire::reason;
use crate::failure::{Exit, Failure};
use crate::output;

/// How long somebody may take to open the door at a new address.
const KNOCK: Duration = Duration::from_millis(500);

impl Ctl {
    /// Everything about members.
    pub async fn member(&mut self, word: &MemberWord) -> Result<(), Failure> {
        match word {
            MemberWord::List => {
                let listed = list(&mut self.cluster).await?;
                self.format.print(&members_answer(&listed))
            }
            MemberWord::Add { name, peer_urls, learner } => self.add(name, peer_urls, *learner).await,
            MemberWord::Remove { member } => {
                let id = find(&mut self.cluster, member).await?;
                let removed =
                    self.cluster.call(Effect::Write, pb::MemberRemoveRequest { id }, |channel, request| {
                        async move { ClusterClient::new(channel).member_remove(request).await }
                    });
                let from = removed.await?.header;
                self.changed(from, id, "removed from")
            }
            MemberWord::Update { member, peer_urls } => {
                let id = find(&mut self.cluster, member).await?;
                let request = pb::MemberUpdateRequest { id, peer_ur_ls: urls(peer_urls) };
                // To move to the same address twice is to be there.
                let updated = self.cluster.call(Effect::Idempotent, request, |channel, request| async move {
                    ClusterClient::new(channel).member_update(request).await
                });
                let from = updated.await?.header;
                self.changed(from, id, "updated in")?;
                warn_of_nobody(&urls(peer_urls)).await;
                Ok(())
            }
            MemberWord::Promote { member } => {
                let id = find(&mut self.cluster, member).await?;
                let promoted =
                    self.cluster.call(
                        Effect::Write,
                        pb::MemberPromoteRequest { id },
                        |channel, request| async move {
                            ClusterClient::new(channel).member_promote(request).await
                        },
                    );
                let from = promoted.await?.header;
                self.changed(from, id, "promoted in")
            }
        }
    }

    async fn add(&mut self, name: &str, peer_urls: &str, learner: bool) -> Result<(), Failure> {
        let request = pb::MemberAddRequest { peer_ur_ls: urls(peer_urls), is_learner: learner };
        let added = self.cluster.call(Effect::Write, request, |channel, request| async move {
            ClusterClient::new(channel).member_add(request).await
        });
        let added = added.await?;
        let member = added.member.clone().unwrap_or_default();
        let cluster = added.header.map_or(0, |header| header.cluster_id);
        let mut said = format!("Member {:16x} added to cluster {cluster:16x}\n", member.id);
        let all: Vec<String> = added
            .members
            .iter()
            .flat_map(|one| {
                let own = if one.id == member.id { name } else { &one.name };
                one.peer_ur_ls.iter().map(move |url| format!("{own}={url}"))
            })
            .collect();
        said.push_str(&format!("\nETCD_NAME=\"{name}\"\nETCD_INITIAL_CLUSTER=\"{}\"\n", all.join(",")));
        said.push_str(&format!("ETCD_INITIAL_ADVERTISE_PEER_URLS=\"{}\"\n", member.peer_ur_ls.join(",")));
        said.push_str("ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n");
        let tree = Tree::Object(vec![
            ("header", header(&added.header)),
            ("member", member_tree(&member)),
            ("members", Tree::List(added.members.iter().map(member_tree).collect())),
        ]);
        self.format.print(&Answer::lines(tree, said))
    }

    fn changed(&self, from: Option<pb::ResponseHeader>, id: u64, what: &str) -> Result<(), Failure> {
        let cluster = from.map_or(0, |header| header.cluster_id);
        let tree = Tree::Object(vec![("header", header(&from))]);
        self.format.print(&Answer::lines(tree, format!("Member {id:16x} {what} cluster {cluster:16x}\n")))
    }

    /// Gives the leadership to a member: asks whoever leads.
    pub async fn move_leader(&mut self, to: &str) -> Result<(), Failure> {
        let seen = view(self.cluster.endpoints()).await;
        let nobody = || Failure::unreachable("nobody leads at the moment; look with `jangada ctl status`");
        let leader = seen.leader().ok_or_else(nobody)?.clone();
        let target_id = named(&seen.members, to)?;
        if target_id == leader.id {
            let from = seen.of(&leader).ok().and_then(|said| said.status.header);
            return self.leads_already(from, &leader);
        }
        let at = address(&leader).ok_or_else(nobody)?;
        let mut cluster = self.cluster.through(at);
        let request = pb::MoveLeaderRequest { target_id };
        let moved = cluster.call(Effect::Write, request, |channel, request| async move {
            MaintenanceClient::new(channel).move_leader(request).await
        });
        let tree = Tree::Object(vec![("header", header(&moved.await?.header))]);
        let said = format!("Leadership transferred from {:x} to {target_id:x}\n", leader.id);
        self.format.print(&Answer::lines(tree, said))
    }

    /// A server would say that the leadership went from it to itself.
    fn leads_already(&self, from: Option<pb::ResponseHeader>, leader: &pb::Member) -> Result<(), Failure> {
        let pb::Member { name, id, .. } = leader;
        let tree = Tree::Object(vec![("header", header(&from))]);
        self.format.print(&Answer::lines(tree, format!("{name} ({id:x}) leads already; nothing was done\n")))
    }
}

/// Says which of these addresses nobody can be reached at: the change was accepted, as by etcd, and cuts the member off.
async fn warn_of_nobody(urls: &[String]) {
    for url in urls {
        let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
        let connecting = tokio::net::TcpStream::connect(address);
        let why = match tokio::time::timeout(KNOCK, connecting).await {
            Ok(Ok(_somebody)) => continue,
            Ok(Err(error)) => reason(&error),
            Err(_late) => "no answer".to_owned(),
        };
        output::note(&format!(
            "warning: nobody can be reached at {address} from here ({why}): unless the others reach the member there, it \
             is cut off; `jangada ctl status` tells"
        ));
    }
}

async fn list(cluster: &mut Cluster) -> Result<pb::MemberListResponse, Failure> {
    let request = pb::MemberListRequest { linearizable: true };
    let listed = cluster.call(Effect::Read, request, |channel, request| async move {
        ClusterClient::new(channel).member_list(request).await
    });
    listed.await
}

async fn find(cluster: &mut Cluster, member: &str) -> Result<u64, Failure> {
    named(&list(cluster).await?.members, member)
}

/// The number of a member that is called by its name or by its number.
fn named(members: &[pb::Member], said: &str) -> Result<u64, Failure> {
    if let Some(member) = members.iter().find(|member| !member.name.is_empty() && member.name == said) {
        return Ok(member.id);
    }
    u64::from_str_radix(said, 16).map_err(|_| {
        let name = |member: &pb::Member| match member.name.as_str() {
            // It is not started yet.
            "" => format!("{:x}", member.id),
            name => name.to_owned(),
        };
        let names: Vec<String> = members.iter().map(name).collect();
        Failure::new(
            Exit::No,
            format!("{said} is no member, nor a hexadecimal number; there are {}", names.join(", ")),
        )
    })
}

fn urls(said: &str) -> Vec<String> {
    let with_scheme = |url: &str| if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    said.split(',').map(str::trim).filter(|url| !url.is_empty()).map(with_scheme).collect()
}

fn member_tree(member: &pb::Member) -> Tree {
    Tree::Object(vec![
        ("ID", member.id.into()),
        ("name", text(member.name.clone())),
        ("peerURLs", Tree::List(member.peer_ur_ls.iter().map(text).collect())),
        ("clientURLs", Tree::List(member.client_ur_ls.iter().map(text).collect())),
        ("isLearner", Tree::Flag(member.is_learner)),
    ])
}

fn members_answer(listed: &pb::MemberListResponse) -> Answer {
    let (mut simple, mut rows) = (Vec::new(), Vec::new());
    for member in &listed.members {
        let row = vec![
            format!("{:x}", member.id),
            if member.name.is_empty() { "unstarted" } else { "started" }.to_owned(),
            member.name.clone(),
            member.peer_ur_ls.join(","),
            member.client_ur_ls.join(","),
            member.is_learner.to_string(),
        ];
        add_text(&row.join(", "), &mut simple);
        rows.push(row);
    }
    let tree = Tree::Object(vec![
        ("header", header(&listed.header)),
        ("members", Tree::List(listed.members.iter().map(member_tree).collect())),
    ]);
    let columns = vec!["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"];
    Answer { table: Some((columns, rows)), ..Answer::lines(tree, simple) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_goes_by_its_name_or_its_number() {
        let member = |name: &str, id| pb::Member { id, name: name.to_owned(), ..pb::Member::default() };
        let members = [member("n1", 17), member("", 18)];
        assert_eq!(named(&members, "n1"), Ok(17));
        assert_eq!(named(&members, "12"), Ok(18));
        let unknown = named(&members, "n9").unwrap_err();
        assert_eq!((unknown.exit, unknown.message.ends_with("; there are n1, 12")), (1, true), "{unknown}");
        assert_eq!(urls("a:1, http://b:2"), ["http://a:1", "http://b:2"]);
    }
}
