//! The numbered menu of the Go prototype that this laboratory grew from, with its words and without its bugs.
//!
//! Its servers count from 0: peer 0 is n1. What it got wrong is right here: an empty line, a wrong number, a second
//! crash or `11 x` does nothing but say so, and a write is called successful when it is committed.

use std::time::Duration;

use jangada_raft::types::NodeId;
use jangada_sim::script::cluster::MAX_SERVERS;
use jangada_sim::script::command::{Change, Command, Condition, Request, Server};
use jangada_trace::language::Language;
use jangada_trace::{said, say};

use super::backend::Backend;
use super::session::{Outcome, Session};

/// What the menu offers, in the prototype's words.
const TABLE: &str = "\
RAFT MENU: [nodes are 0 indexed]
  1 n              create a cluster of n peers      7 peer        restart peer
  2 key val [peer] set value                        8             shut all servers down
  3 key [peer]     get value                        9             check leader
  4 peer           disconnect peer                  10            stop execution
  5 peer           reconnect peer                   11 ids...     add servers
  6 peer           crash peer                       12 ids...     remove servers
`menu` goes back to words. WAITING FOR INPUTS..";

/// The same in Portuguese.
const TABELA: &str = "\
MENU DO RAFT: [os nós são contados a partir de 0]
  1 n              cria um cluster de n peers       7 peer        reinicia peer
  2 chv val [peer] escreve valor                    8             desliga todos os servidores
  3 chv [peer]     lê valor                         9             procura o líder
  4 peer           desconecta peer                  10            encerra a execução
  5 peer           reconecta peer                   11 ids...     adiciona servidores
  6 peer           derruba peer                     12 ids...     remove servidores
`menu` volta às palavras. ESPERANDO ENTRADA..";

/// What the menu offers.
pub fn table(language: Language) -> &'static str {
    match language {
        Language::English => TABLE,
        Language::Portuguese => TABELA,
    }
}

/// How long a leader is looked for: eight times 150 ms.
const LOOK_FOR_LEADER: Duration = Duration::from_millis(1_200);

/// The words of the laboratory that the menu has numbers for.
const NUMBERS: [(&str, u64); 6] =
    [("disconnect", 4), ("reconnect", 5), ("crash", 6), ("restart", 7), ("add", 11), ("remove", 12)];

/// What one line of the menu comes to.
type Said = Result<String, String>;

impl<B: Backend> Session<B> {
    /// Carries out one line of the menu.
    pub(super) fn numbered(&mut self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((number, arguments)) = words.split_first() else {
            self.say_line(table(self.language()));
            return Outcome::Done;
        };
        if *number == "menu" {
            self.leave_menu();
            return Outcome::Done;
        }
        if matches!(words[..], ["exit" | "quit" | "shutdown"]) {
            return Outcome::Over;
        }
        let language = self.language();
        let said = match number.parse::<u64>() {
            Err(_) => Err(say!(
                language,
                "Wrong input: a number from the menu, `menu` to go back to words, or `exit`"
            )),
            Ok(10) => {
                self.say_line(language.of(said!("STOPPING EXECUTION, NO INPUTS WILL BE TAKEN FURTHER")));
                return Outcome::Over;
            }
            Ok(1) => self.create(arguments),
            Ok(2..=9 | 11 | 12) if self.is_shut_down() => Err(say!(language, "raft cluster not created")),
            Ok(2) => self.set(arguments),
            Ok(3) => self.get(arguments),
            Ok(4) => self.each_peer(arguments, Command::Disconnect, said!("PEER {peer} DISCONNECTED")),
            Ok(5) => self.each_peer(arguments, Command::Reconnect, said!("PEER {peer} RECONNECTED")),
            Ok(6) => self.each_peer(arguments, Command::Crash, said!("PEER {peer} CRASHED")),
            Ok(7) => self.restart(arguments),
            Ok(8) => self.shut_down(),
            Ok(9) => self.check_leader(),
            Ok(11) => self.change(arguments, Command::Add, said!("Added ServerIDs: [{ids}] to cluster")),
            Ok(12) => {
                self.change(arguments, Command::Remove, said!("Removed ServerIDs: [{ids}] from cluster"))
            }
            Ok(_) => Err(say!(language, "Invalid Command: the menu ends with 12")),
        };
        match said {
            Ok(text) => {
                self.say_line(&text);
                Outcome::Done
            }
            Err(why) => {
                self.voice.refuse(&why);
                Outcome::Refused
            }
        }
    }

    /// Carries out what a line comes to; what is wrong is said as the menu says things.
    fn act(&mut self, command: &Command) -> Result<(), String> {
        self.do_it(command).map_err(|why| in_numbers(&why))
    }

    fn create(&mut self, arguments: &[&str]) -> Said {
        let language = self.language();
        let [count, ..] = arguments else { return Err(say!(language, "number of peers not passed")) };
        let wrong = || say!(language, "invalid number of peers: 1 to {most}", most = MAX_SERVERS);
        let number: i64 = count.parse().map_err(|_| wrong())?;
        let number = u64::try_from(number).map_err(|_| format!("err: {}", wrong()))?;
        if !(1..=MAX_SERVERS).contains(&number) {
            return Err(wrong());
        }
        self.act(&Command::Servers(number))?;
        self.start()?;
        self.created();
        Ok(say!(language, "CLUSTER OF {number} PEERS CREATED !!!", number))
    }

    fn set(&mut self, arguments: &[&str]) -> Said {
        let language = self.language();
        let [key, value, peer @ ..] = arguments else {
            return Err(say!(language, "key or value not passed"));
        };
        let at = self.optional_peer(peer)?;
        let request = Request::Set { key: (*key).to_owned(), value: (*value).to_owned() };
        let answer = self.ask(request, at)?;
        match answer.as_str() {
            "OK" => Ok(say!(language, "WRITE TO KEY {key} WITH VALUE {value} SUCCESSFUL", key, value)),
            _ => Err(self.not_submitted()),
        }
    }

    fn get(&mut self, arguments: &[&str]) -> Said {
        let language = self.language();
        let [key, peer @ ..] = arguments else { return Err(say!(language, "key not passed")) };
        let at = self.optional_peer(peer)?;
        let answer = self.ask(Request::Get { key: (*key).to_owned() }, at)?;
        match answer.as_str() {
            "not found" => Err(say!(language, "KeyNotFound:{key}", key)),
            _ if self.was_refused() => Err(in_numbers(&self.last_answer_told())),
            value => Ok(say!(language, "READ KEY {key} VALUE {value}", key, value)),
        }
    }

    fn ask(&mut self, request: Request, at: Option<Server>) -> Said {
        self.act(&Command::Client { request, at, begin: false })?;
        Ok(self.last_answer())
    }

    fn each_peer(
        &mut self,
        arguments: &[&str],
        command: impl Fn(Vec<Server>) -> Command,
        done: &'static str,
    ) -> Said {
        let id = self.peer(arguments)?;
        let command = command(vec![Server::Number(id.0)]);
        self.act(&command)?;
        Ok(self.language().render(done, &[("peer", &(id.0 - 1))]))
    }

    fn restart(&mut self, arguments: &[&str]) -> Said {
        let id = self.peer(arguments)?;
        if self.cluster().view(id).is_some() {
            return Err(say!(self.language(), "id {peer} alive in restart peer", peer = id.0 - 1));
        }
        self.each_peer(arguments, Command::Restart, said!("PEER {peer} RESTARTED"))
    }

    fn shut_down(&mut self) -> Said {
        self.act(&Command::Crash(vec![Server::All]))?;
        self.shut();
        Ok(say!(self.language(), "ALL SERVERS STOPPED AND RAFT SERVICE STOPPED"))
    }

    fn check_leader(&mut self) -> Said {
        let found = self.act(&Command::Wait(Condition::SomeLeader, Some(LOOK_FOR_LEADER)));
        let language = self.language();
        let nobody = || say!(language, "no leader found");
        found.map_err(|_| nobody())?;
        let cluster = self.cluster();
        let leaders = cluster.servers().into_iter().filter_map(|id| cluster.view(id));
        let leader = leaders.filter(|view| view.is_leader()).max_by_key(|view| view.term);
        let leader = leader.ok_or_else(nobody)?;
        Ok(say!(language, "LEADER ID: {peer}, TERM: {term}", peer = leader.id.0 - 1, term = leader.term))
    }

    fn change(
        &mut self,
        arguments: &[&str],
        command: impl Fn(Change) -> Command,
        done: &'static str,
    ) -> Said {
        let language = self.language();
        if arguments.is_empty() {
            return Err(say!(language, "peer ids not passed"));
        }
        // All of them are read before anything is done.
        let mut ids = Vec::new();
        for argument in arguments {
            let number: u64 =
                argument.parse().map_err(|_| say!(language, "Invalid Server ID: {argument}", argument))?;
            if number >= MAX_SERVERS {
                let last = MAX_SERVERS - 1;
                return Err(say!(
                    language,
                    "Invalid Server ID: {number}; there are 0 to {last}",
                    number,
                    last
                ));
            }
            ids.push(number);
        }
        let servers: Vec<Server> = ids.iter().map(|id| Server::Number(id + 1)).collect();
        let command = command(Change { servers: servers.clone(), at: None, begin: false });
        self.act(&command)?;
        if self.last_answer() != "OK" {
            return Err(self.not_submitted());
        }
        if let Command::Remove(_) = command {
            // As the prototype did: whoever left is stopped.
            let running = servers.into_iter().filter(|server| self.runs(server)).collect::<Vec<_>>();
            if !running.is_empty() {
                self.act(&Command::Crash(running))?;
            }
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Ok(language.render(done, &[("ids", &ids.join(" "))]))
    }

    /// The last request did not do what it was to.
    fn not_submitted(&self) -> String {
        say!(
            self.language(),
            "command could not be submitted: {why}",
            why = in_numbers(&self.last_answer_told())
        )
    }

    fn runs(&self, server: &Server) -> bool {
        matches!(server, Server::Number(number) if self.cluster().view(NodeId(*number)).is_some())
    }

    fn peer(&self, arguments: &[&str]) -> Result<NodeId, String> {
        let [peer, ..] = arguments else { return Err(say!(self.language(), "peer id not passed")) };
        self.id(peer)
    }

    fn optional_peer(&self, arguments: &[&str]) -> Result<Option<Server>, String> {
        let [peer, ..] = arguments else { return Ok(None) };
        self.id(peer).map(|id| Some(Server::Number(id.0)))
    }

    fn id(&self, text: &str) -> Result<NodeId, String> {
        let language = self.language();
        let number: i64 =
            text.parse().map_err(|_| say!(language, "invalid server id {text} passed", text))?;
        let number =
            u64::try_from(number).map_err(|_| say!(language, "invalid peer id passed: {text}", text))?;
        let id = NodeId(number.saturating_add(1));
        let known = self.cluster().servers();
        if known.contains(&id) {
            return Ok(id);
        }
        let last = known.last().map_or(0, |last| last.0 - 1);
        Err(say!(language, "invalid server id {number} passed: there are 0 to {last}", number, last))
    }
}

/// What the laboratory says in its words, as the menu counts and commands: `n4` is peer 3, and `restart 4` is `7 3`.
fn in_numbers(sentence: &str) -> String {
    let mut said = String::with_capacity(sentence.len());
    for (place, piece) in sentence.split('`').enumerate() {
        // Every second piece stands between backticks: something to be typed.
        if place > 0 {
            said.push('`');
        }
        match (place % 2 == 1).then(|| as_menu_command(piece)).flatten() {
            Some(command) => said.push_str(&command),
            None => said.push_str(&with_peers(piece)),
        }
    }
    said
}

/// `restart 4` as `7 3`; `None` if it is not a command that the menu has.
fn as_menu_command(words: &str) -> Option<String> {
    let mut words = words.split(' ');
    let verb = words.next()?;
    let (_, number) = NUMBERS.iter().find(|(known, _)| *known == verb)?;
    let mut command = number.to_string();
    for word in words {
        let server: u64 = word.strip_prefix('n').unwrap_or(word).parse().ok()?;
        command.push_str(&format!(" {}", server.checked_sub(1)?));
    }
    Some(command)
}

/// `n4` as `peer 3`, where it stands as a word.
fn with_peers(text: &str) -> String {
    let is_in_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut said = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !is_in_a_word(c)) {
        let word = piece.trim_end_matches(|c| !is_in_a_word(c));
        let number = word.strip_prefix('n').and_then(|digits| digits.parse::<u64>().ok());
        match number.and_then(|number| number.checked_sub(1)) {
            Some(peer) => said.push_str(&format!("peer {peer}{}", &piece[word.len()..])),
            None => said.push_str(piece),
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_in_words_is_said_in_the_menus_numbers() {
        for (words, numbers) in [
            ("n4 is down already: `restart 4`", "peer 3 is down already: `7 3`"),
            (
                "n1 is a member already: `remove 1` lets it go",
                "peer 0 is a member already: `12 0` lets it go",
            ),
            (
                "no quorum: n2, n3 silent for 2 s (n2_x, down2)",
                "no quorum: peer 1, peer 2 silent for 2 s (n2_x, down2)",
            ),
            ("`lose 30%` of n9", "`lose 30%` of peer 8"),
            ("não há n5", "não há peer 4"),
            ("n", "n"),
            ("", ""),
        ] {
            assert_eq!(in_numbers(words), numbers);
        }
    }
}
