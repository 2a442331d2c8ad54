//! alarm, compaction, defrag.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::alarm_request::AlarmAction;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;

use super::Ctl;
use super::cluster::Effect;
use super::grammar::AlarmWord;
use super::keys::kv;
use super::print::{Answer, add_text};
use super::tree::{Tree, header};
use crate::failure::Failure;
use crate::output;

impl Ctl {
    /// Lists alarms, or ends them.
    pub async fn alarm(&mut self, word: &AlarmWord) -> Result<(), Failure> {
        let mut listed = self.ask_alarm(AlarmAction::Get, pb::AlarmMember::default()).await?;
        if matches!(word, AlarmWord::Disarm) {
            let standing = std::mem::take(&mut listed.alarms);
            for alarm in standing {
                let ended = self.ask_alarm(AlarmAction::Deactivate, alarm).await?;
                listed.alarms.extend(ended.alarms);
                listed.header = ended.header;
            }
        }
        let (mut simple, mut parts, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for alarm in &listed.alarms {
            let kind = alarm.alarm().as_str_name();
            add_text(&format!("memberID:{} alarm:{kind} ", alarm.member_id), &mut simple);
            rows.push(vec![format!("{:x}", alarm.member_id), kind.to_owned()]);
            parts.push(Tree::Object(vec![
                ("memberID", alarm.member_id.into()),
                ("alarm", Tree::Kind(alarm.alarm, kind)),
            ]));
        }
        let tree = Tree::Object(vec![("header", header(&listed.header)), ("alarms", Tree::List(parts))]);
        let table = Some((vec!["MEMBER", "ALARM"], rows));
        self.format.print(&Answer { table, ..Answer::lines(tree, simple) })
    }

    async fn ask_alarm(
        &mut self,
        action: AlarmAction,
        alarm: pb::AlarmMember,
    ) -> Result<pb::AlarmResponse, Failure> {
        let request =
            pb::AlarmRequest { action: action.into(), member_id: alarm.member_id, alarm: alarm.alarm };
        let told = self.cluster.call(Effect::Idempotent, request, |channel, request| async move {
            MaintenanceClient::new(channel).alarm(request).await
        });
        told.await
    }

    /// Forgets the history before a revision.
    pub async fn compaction(&mut self, revision: i64, physical: bool) -> Result<(), Failure> {
        let request = pb::CompactionRequest { revision, physical };
        let compacted = self.cluster.call(Effect::Write, request, |channel, request| async move {
            kv(channel).compact(request).await
        });
        let tree = Tree::Object(vec![("header", header(&compacted.await?.header))]);
        self.format.print(&Answer::lines(tree, format!("compacted revision {revision}\n")))
    }

    /// Asks each endpoint to tidy its file. Ours have nothing to tidy, and say so by doing nothing.
    pub async fn defrag(&mut self) -> Result<(), Failure> {
        let mut ended = Ok(());
        for endpoint in self.cluster.endpoints().to_vec() {
            let mut one = self.cluster.through(endpoint.clone());
            let done =
                one.call(Effect::Idempotent, pb::DefragmentRequest {}, |channel, request| async move {
                    MaintenanceClient::new(channel).defragment(request).await
                });
            match done.await {
                Ok(_) => output::line(&format!("Finished defragmenting etcd member[{endpoint}]"))?,
                Err(failure) => ended = Err(failure),
            }
        }
        ended
    }
}
