//! txn: compare, then do one of two things, as one step; read line by line.

use std::io::{BufRead, IsTerminal};

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::response_op::Response;

use super::Ctl;
use super::cluster::Effect;
use super::keys::{del_answer, kv, put_answer, range_answer};
use super::print::{Answer, add_text};
use super::tree::{Tree, header};
use super::txn_text::{Part, Reading};
use crate::failure::{Exit, Failure};
use crate::output;

impl Ctl {
    /// Reads a txn and carries it out. Comparisons that do not hold are exit code 1.
    pub async fn txn(&mut self, interactive: bool) -> Result<(), Failure> {
        let txn = read(interactive || std::io::stdin().is_terminal())?;
        let reads = |op: &pb::RequestOp| matches!(op.request, Some(pb::request_op::Request::RequestRange(_)));
        let effect = match txn.success.iter().chain(&txn.failure).all(reads) {
            true => Effect::Read,
            false => Effect::Write,
        };
        let done =
            self.cluster.call(effect, txn, |channel, request| async move { kv(channel).txn(request).await });
        let done = done.await?;
        let mut simple = Vec::new();
        add_text(if done.succeeded { "SUCCESS" } else { "FAILURE" }, &mut simple);
        let answers: Vec<Answer> =
            done.responses.iter().filter_map(|op| op.response.as_ref()).filter_map(answer).collect();
        for answer in &answers {
            simple.push(b'\n');
            simple.extend_from_slice(&answer.simple);
        }
        let tree = Tree::Object(vec![
            ("header", header(&done.header)),
            ("succeeded", Tree::Flag(done.succeeded)),
            ("responses", Tree::List(answers.iter().map(|answer| answer.tree.clone()).collect())),
        ]);
        let raw = answers.iter().filter_map(|answer| answer.raw.clone()).flatten().collect();
        self.format.print(&Answer { raw: Some(raw), ..Answer::lines(tree, simple) })?;
        if done.succeeded { Ok(()) } else { Err(Failure::silent(Exit::No)) }
    }
}

/// Reads until all three parts have been said. What was cut off is not carried out: a part of it may do what the whole does
/// not.
fn read(prompts: bool) -> Result<pb::TxnRequest, Failure> {
    let mut reading = Reading::new();
    let mut asked = None;
    for line in std::iter::once(Ok(None)).chain(std::io::stdin().lock().lines().map(|line| line.map(Some))) {
        if let Some(line) = line? {
            match reading.line(&line) {
                Ok(()) => {}
                // At a prompt the line can be said again.
                Err(failure) if prompts => output::note(&failure.message),
                Err(failure) => return Err(failure),
            }
        }
        if reading.part == Part::Done {
            break;
        }
        if prompts && asked != Some(reading.part) {
            asked = Some(reading.part);
            output::note(match reading.part {
                Part::Compares => "compares:",
                Part::Success => "success requests (get, put, del):",
                Part::Failure | Part::Done => "failure requests (get, put, del):",
            });
        }
    }
    match reading.part {
        Part::Done => Ok(reading.txn),
        part => Err(Failure::usage(format!(
            "EOF: the input ends {}; nothing was done. A txn is comparisons, an empty line, what to do if they hold, an \
             empty line, what to do otherwise, and an empty line",
            match part {
                Part::Compares => "among the comparisons",
                Part::Success => "before the first empty line behind the success requests",
                Part::Failure | Part::Done => "before the last empty line",
            }
        ))),
    }
}

fn answer(response: &Response) -> Option<Answer> {
    match response {
        Response::ResponseRange(range) => Some(range_answer(range, false, false)),
        Response::ResponsePut(put) => Some(put_answer(put)),
        Response::ResponseDeleteRange(delete) => Some(del_answer(delete)),
        // None is asked for.
        Response::ResponseTxn(_) => None,
    }
}
