//! What is done to the servers by hand, told to whoever keeps records: the reel, the page, and a file beside those of the
//! servers, who cannot write down that they lost their power.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jangada_node::event::Deed;
use jangada_raft::types::{NodeId, Time};
use jangada_trace::deeds::{self, Standing};
use jangada_trace::jsonl;
use jangada_trace::names::Names;

use super::page::Feed;
use super::timeline::Reel;

/// The name of the file, in the folder where the servers' recordings are.
const FILE: &str = "deeds.jsonl";
/// What is done to links so soon after one another is one command, and is recorded as done at once: a partition that falls
/// into its parts.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Keeps account of deeds.
#[derive(Default)]
pub struct Account {
    standing: Standing,
    /// When something was last done to a link.
    last: Time,
    file: Option<File>,
}

impl Account {
    /// Writes them into this folder, too.
    ///
    /// # Errors
    /// That cannot be: a sentence.
    pub fn write_into(&mut self, folder: &Path) -> Result<(), String> {
        let path = folder.join(FILE);
        let opened = std::fs::create_dir_all(folder)
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path));
        self.file = Some(opened.map_err(|why| format!("{}: {why}", path.display()))?);
        Ok(())
    }

    /// How everything stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Somebody did this. `shown`: to whom it is told beside the file.
    pub fn note(&mut self, time: Time, node: NodeId, deed: Deed, shown: Option<(&Reel, Option<&Arc<Feed>>)>) {
        let is_of_links =
            matches!(deed, Deed::Cut { .. } | Deed::Mend { .. } | Deed::Lose { .. } | Deed::Slow { .. });
        let time = if is_of_links && time.since(self.last) < AT_ONCE { self.last } else { time };
        if is_of_links {
            self.last = time;
        }
        let record = deeds::record(time, node, deed);
        self.standing.see_record(&record);
        if let Some((reel, feed)) = shown {
            reel.keep(&record);
            feed.into_iter().for_each(|feed| feed.record(&record));
        }
        if let Some(file) = &mut self.file {
            // A full disk is told of by the servers' own recordings.
            let _not_written = writeln!(file, "{}", jsonl::line(&record, &Names::new()));
        }
    }

    /// All servers end, and others take their place, with whole links: for the file, which goes on.
    pub fn end_all(&mut self, time: Time, running: &[NodeId]) {
        let mut over: Vec<(NodeId, Deed)> = running.iter().map(|id| (*id, Deed::Crash)).collect();
        over.extend(self.standing.cut().iter().map(|(from, to)| (*from, Deed::Mend { to: *to })));
        if self.standing.loss() > 0 || self.standing.delay() > Duration::ZERO {
            over.extend(running.iter().map(|id| (*id, Deed::Lose { percent: 0 })));
            over.extend(running.iter().map(|id| (*id, Deed::Slow { by_nanos: 0 })));
        }
        over.into_iter().for_each(|(node, deed)| self.note(time, node, deed, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_recorded_as_done_at_once() {
        let (dir, mut account) = (tempfile::tempdir().unwrap(), Account::default());
        account.write_into(dir.path()).unwrap();
        let (a, b) = (NodeId(1), NodeId(2));
        for (micros, deed) in [
            (5_000, Deed::Cut { to: b }),
            (5_040, Deed::Cut { to: NodeId(3) }),
            (9_000, Deed::Mend { to: b }),
        ] {
            account.note(Time(micros * 1_000), a, deed, None);
        }
        account.note(Time(9_000_500), a, Deed::Crash, None);
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let times = text.lines().map(|line| line.split([':', ',']).nth(1).unwrap());
        assert_eq!(times.collect::<Vec<_>>(), ["5000000", "5000000", "9000000", "9000500"]);
        assert!(account.standing().is_down(a) && account.standing().cut().len() == 1);
        account.end_all(Time(10_000_000), &[b]);
        assert!(account.standing().cut().is_empty() && account.standing().is_down(b));
    }
}
