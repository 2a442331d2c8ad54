//! The bare core: three servers in one process elect a leader and count together.
//!
//! `cargo run -p jangada-raft --example counter`. Everything that a host must do for the core stands in
//! `Host::serve`: write what is to be written, send what is to be sent, apply what is committed. The disk here
//! is instantaneous and the network a queue, so the program is the same each time.

use std::collections::VecDeque;

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::message::Message;
use jangada_raft::types::{ClusterId, Membership, NodeId, Payload, Time};
use jangada_raft::{Answer, Input, Output, Raft, Recovered};

/// One server: the core, and the state machine that its log drives.
struct Host {
    raft: Raft,
    counter: u64,
}

impl Host {
    fn start(id: NodeId, members: &[NodeId]) -> Host {
        // A first start: nothing on the disk but who founds the cluster.
        let mut recovered = Recovered::default();
        recovered.snapshot.membership = Membership::of(members.iter().copied()).into();
        let config = Config::new(id, ClusterId(1), 42);
        Host { raft: Raft::restore(Time::ZERO, config, recovered), counter: 0 }
    }

    /// Does all that the core wants done.
    fn serve(&mut self, now: Time, network: &mut VecDeque<Message>) {
        let mut out = Output::default();
        loop {
            self.raft.take_output(&mut out);
            for event in &out.events {
                println!("{:>7.3} s  {}  {event:?}", now.0 as f64 / 1e9, self.raft.id());
            }
            network.extend(out.send.drain(..));
            if let Some(range) = out.committed.take() {
                for entry in self.raft.entries(range.clone()) {
                    if let Payload::Command(command) = &entry.payload {
                        self.counter += u64::from(command[0]);
                    }
                }
                self.raft.handle(now, Input::Applied(*range.end()));
            }
            // A real host writes `persist` to its disk, and says so when the disk has it.
            let Some(persist) = out.persist.take() else { return };
            self.raft.handle(now, Input::Persisted(persist.id));
        }
    }
}

fn main() {
    let members = [NodeId(1), NodeId(2), NodeId(3)];
    let mut hosts: Vec<Host> = members.iter().map(|id| Host::start(*id, &members)).collect();
    let mut network: VecDeque<Message> = VecDeque::new();
    let mut now = Time::ZERO;
    let mut proposed = false;

    while hosts.iter().any(|host| host.counter < 42) {
        // Whatever is on the way arrives; if nothing is, time passes until somebody wants to be called.
        if let Some(message) = network.pop_front() {
            let to = hosts.iter_mut().find(|host| host.raft.id() == message.to).expect("one of the three");
            to.raft.handle(now, Input::Receive(message));
        } else {
            now = hosts.iter().map(|host| host.raft.next_deadline()).min().expect("three servers");
            for host in &mut hosts {
                host.raft.handle(now, Input::TimePassed);
            }
        }
        // The leader is told to add 20, and then 22.
        if let Some(leader) = hosts.iter_mut().find(|host| host.raft.is_leader() && !proposed) {
            for number in [20, 22] {
                let answer = leader.raft.handle(now, Input::Propose(Bytes::copy_from_slice(&[number])));
                assert!(matches!(answer, Answer::Appended { .. }), "a leader takes commands");
            }
            proposed = true;
        }
        for host in &mut hosts {
            host.serve(now, &mut network);
        }
    }
    for host in &hosts {
        println!("{} counts {}", host.raft.id(), host.counter);
    }
}
