//! The numbered menu of the Go prototype that this laboratory grew from, with its words and without its bugs.
//!
//! Its servers count from 0: peer 0 is n1. What it got wrong is right here: an empty line, a wrong number, a second
//! crash or `11 x` does nothing but say so, and a write is called successful when it is committed.

use std::time::Duration;

use jangada_raft::types::NodeId;
use jangada_sim::script::cluster::MAX_SERVERS;
use jangada_sim::script::command::{Change, Command, Condition, Request, Server};

use super::backend::Backend;
use super::session::{Outcome, Session};

/// What the menu offers.
pub const TABLE: &str = "\
RAFT MENU: [nodes are 0 indexed]
  1 n              create a cluster of n peers      7 peer        restart peer
  2 key val [peer] set value                        8             shut all servers down
  3 key [peer]     get value                        9             check leader
  4 peer           disconnect peer                  10            stop execution
  5 peer           reconnect peer                   11 ids...     add servers
  6 peer           crash peer                       12 ids...     remove servers
`menu` goes back to words. WAITING FOR INPUTS..";

/// How long a leader is looked for: eight times 150 ms.
const LOOK_FOR_LEADER: Duration = Duration::from_millis(1_200);

/// What one line of the menu comes to.
type Said = Result<String, String>;

impl<B: Backend> Session<B> {
    /// Carries out one line of the menu.
    pub(super) fn numbered(&mut self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((number, arguments)) = words.split_first() else {
            self.say_line(TABLE);
            return Outcome::Done;
        };
        if *number == "menu" {
            self.leave_menu();
            return Outcome::Done;
        }
        let said = match number.parse::<u64>() {
            Err(_) => Err("Wrong input: a number from the menu, or `menu` to go back to words".to_owned()),
            Ok(10) => {
                self.say_line("STOPPING EXECUTION, NO INPUTS WILL BE TAKEN FURTHER");
                return Outcome::Over;
            }
            Ok(1) => self.create(arguments),
            Ok(2..=9 | 11 | 12) if self.is_shut_down() => Err("raft cluster not created".to_owned()),
            Ok(2) => self.set(arguments),
            Ok(3) => self.get(arguments),
            Ok(4) => self.each_peer(arguments, Command::Disconnect, "DISCONNECTED"),
            Ok(5) => self.each_peer(arguments, Command::Reconnect, "RECONNECTED"),
            Ok(6) => self.each_peer(arguments, Command::Crash, "CRASHED"),
            Ok(7) => self.restart(arguments),
            Ok(8) => self.shut_down(),
            Ok(9) => self.check_leader(),
            Ok(11) => self.change(arguments, Command::Add, "Added", "to"),
            Ok(12) => self.change(arguments, Command::Remove, "Removed", "from"),
            Ok(_) => Err("Invalid Command: the menu ends with 12".to_owned()),
        };
        match said {
            Ok(text) => {
                self.say_line(&text);
                Outcome::Done
            }
            Err(why) => {
                self.say_line(&why);
                Outcome::Refused
            }
        }
    }

    fn create(&mut self, arguments: &[&str]) -> Said {
        let [count, ..] = arguments else { return Err("number of peers not passed".into()) };
        let wrong = || format!("invalid number of peers: 1 to {MAX_SERVERS}");
        let number: i64 = count.parse().map_err(|_| wrong())?;
        let number = u64::try_from(number).map_err(|_| format!("err: {}", wrong()))?;
        if !(1..=MAX_SERVERS).contains(&number) {
            return Err(wrong());
        }
        self.do_it(&Command::Servers(number))?;
        self.start()?;
        self.created();
        Ok(format!("CLUSTER OF {number} PEERS CREATED !!!"))
    }

    fn set(&mut self, arguments: &[&str]) -> Said {
        let [key, value, peer @ ..] = arguments else { return Err("key or value not passed".into()) };
        let at = self.optional_peer(peer)?;
        let request = Request::Set { key: (*key).to_owned(), value: (*value).to_owned() };
        let answer = self.ask(request, at)?;
        match answer.as_str() {
            "OK" => Ok(format!("WRITE TO KEY {key} WITH VALUE {value} SUCCESSFUL")),
            why => Err(format!("command could not be submitted: {why}")),
        }
    }

    fn get(&mut self, arguments: &[&str]) -> Said {
        let [key, peer @ ..] = arguments else { return Err("key not passed".into()) };
        let at = self.optional_peer(peer)?;
        let answer = self.ask(Request::Get { key: (*key).to_owned() }, at)?;
        match answer.as_str() {
            "not found" => Err(format!("KeyNotFound:{key}")),
            why if self.was_refused() => Err(why.to_owned()),
            value => Ok(format!("READ KEY {key} VALUE {value}")),
        }
    }

    fn ask(&mut self, request: Request, at: Option<Server>) -> Said {
        self.do_it(&Command::Client { request, at, begin: false })?;
        Ok(self.last_answer())
    }

    fn each_peer(
        &mut self,
        arguments: &[&str],
        command: impl Fn(Vec<Server>) -> Command,
        done: &str,
    ) -> Said {
        let id = self.peer(arguments)?;
        let command = command(vec![Server::Number(id.0)]);
        self.do_it(&command)?;
        Ok(format!("PEER {} {done}", id.0 - 1))
    }

    fn restart(&mut self, arguments: &[&str]) -> Said {
        let id = self.peer(arguments)?;
        if self.cluster().view(id).is_some() {
            return Err(format!("id {} alive in restart peer", id.0 - 1));
        }
        self.each_peer(arguments, Command::Restart, "RESTARTED")
    }

    fn shut_down(&mut self) -> Said {
        self.do_it(&Command::Crash(vec![Server::All]))?;
        self.shut();
        Ok("ALL SERVERS STOPPED AND RAFT SERVICE STOPPED".into())
    }

    fn check_leader(&mut self) -> Said {
        let found = self.do_it(&Command::Wait(Condition::SomeLeader, Some(LOOK_FOR_LEADER)));
        found.map_err(|_| "no leader found".to_owned())?;
        let cluster = self.cluster();
        let leaders = cluster.servers().into_iter().filter_map(|id| cluster.view(id));
        let leader = leaders.filter(|view| view.is_leader()).max_by_key(|view| view.term);
        let leader = leader.ok_or("no leader found")?;
        Ok(format!("LEADER ID: {}, TERM: {}", leader.id.0 - 1, leader.term))
    }

    fn change(
        &mut self,
        arguments: &[&str],
        command: impl Fn(Change) -> Command,
        done: &str,
        with: &str,
    ) -> Said {
        if arguments.is_empty() {
            return Err("peer ids not passed".into());
        }
        // All of them are read before anything is done.
        let mut ids = Vec::new();
        for argument in arguments {
            let number: u64 = argument.parse().map_err(|_| format!("Invalid Server ID: {argument}"))?;
            if number >= MAX_SERVERS {
                return Err(format!("Invalid Server ID: {number}; there are 0 to {}", MAX_SERVERS - 1));
            }
            ids.push(number);
        }
        let servers: Vec<Server> = ids.iter().map(|id| Server::Number(id + 1)).collect();
        self.do_it(&command(Change { servers: servers.clone(), at: None, begin: false }))?;
        let answer = self.last_answer();
        if answer != "OK" {
            return Err(format!("command could not be submitted: {answer}"));
        }
        if done == "Removed" {
            // As the prototype did: whoever left is stopped.
            let running = servers.into_iter().filter(|server| self.runs(server)).collect::<Vec<_>>();
            if !running.is_empty() {
                self.do_it(&Command::Crash(running))?;
            }
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Ok(format!("{done} ServerIDs: [{}] {with} cluster", ids.join(" ")))
    }

    fn runs(&self, server: &Server) -> bool {
        matches!(server, Server::Number(number) if self.cluster().view(NodeId(*number)).is_some())
    }

    fn peer(&self, arguments: &[&str]) -> Result<NodeId, String> {
        let [peer, ..] = arguments else { return Err("peer id not passed".into()) };
        self.id(peer)
    }

    fn optional_peer(&self, arguments: &[&str]) -> Result<Option<Server>, String> {
        let [peer, ..] = arguments else { return Ok(None) };
        self.id(peer).map(|id| Some(Server::Number(id.0)))
    }

    fn id(&self, text: &str) -> Result<NodeId, String> {
        let number: i64 = text.parse().map_err(|_| format!("invalid server id {text} passed"))?;
        let number = u64::try_from(number).map_err(|_| format!("invalid peer id passed: {text}"))?;
        let id = NodeId(number.saturating_add(1));
        let known = self.cluster().servers();
        if known.contains(&id) {
            return Ok(id);
        }
        let last = known.last().map_or(0, |last| last.0 - 1);
        Err(format!("invalid server id {number} passed: there are 0 to {last}"))
    }
}
