//! `jangada ctl`: a client in etcdctl's words, of any server of etcd's API.
//!
//! What it does better: it asks all members at once, goes on after a leader was lost and says so, repeats nothing that could
//! be done twice, and tells scripts by its exit code what happened.

mod check; // whether a cluster can take a load
mod cluster; // whom to ask, and what may be asked again
mod endpoints; // each endpoint by itself
pub mod grammar; // which words there are
mod grammar_users; // those about users
mod keys; // get, put, del
mod leases; // deadlines that keys share
mod locks; // what is held by a lease
mod members; // who belongs to the cluster, and who leads it
pub mod print; // answers in five formats
mod snapshots; // a cluster as a file
mod status; // who is there
mod stops; // signals, for who has to put something away
mod tolerance; // how many more may fail
mod tree; // an answer as a tree
mod txn; // compare, then do
mod txn_text; // a txn as text
mod upkeep; // alarms, compaction
mod users; // who may do what
mod watch; // changes as they happen

use std::env;

use grammar::{Arguments, Word};

use self::cluster::Cluster;
use self::print::Format;
use crate::client::login::Login;
use crate::client::password;
use crate::commands::client::check_address;
use crate::failure::Failure;
use crate::output::{self, Shape};

/// Where a cluster of `jangada cluster up` listens.
const USUAL_ENDPOINTS: &str = "127.0.0.1:2379,127.0.0.1:2381,127.0.0.1:2383";

/// Whom it asks, and how it prints.
struct Ctl {
    cluster: Cluster,
    format: Format,
}

/// Does one thing.
///
/// # Errors
/// With the exit code of the program.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let format = match arguments.output {
        Shape::Ctl(format) => format,
        // Said before the word `ctl`.
        Shape::Common(output::Format::Text) => Format::Simple,
        Shape::Common(output::Format::Json) => Format::Json,
    };
    let endpoints = endpoints(arguments.endpoints)?;
    let login = login(arguments.user, arguments.password)?;
    let cluster = Cluster::new(endpoints, arguments.deadline, login);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Ctl { cluster, format }.carry_out(arguments.word).await })
}

impl Ctl {
    async fn carry_out(&mut self, word: Word) -> Result<(), Failure> {
        match word {
            Word::Get(get) => self.get(&get).await,
            Word::Put(put) => self.put(&put).await,
            Word::Del(del) => self.del(&del).await,
            Word::Watch(watch) => self.watch(&watch).await,
            Word::Status => self.status().await,
            Word::Endpoint(endpoint) => self.endpoint(&endpoint).await,
            Word::Lease(lease) => self.lease(&lease).await,
            Word::Lock(lock) => self.lock(&lock).await,
            Word::Elect(elect) => self.elect(&elect).await,
            Word::Txn { interactive } => self.txn(interactive).await,
            Word::Member(member) => self.member(&member).await,
            Word::MoveLeader { member } => self.move_leader(&member).await,
            Word::Alarm(alarm) => self.alarm(&alarm).await,
            Word::Compaction { revision, physical } => self.compaction(revision, physical).await,
            Word::Defrag => self.defrag().await,
            Word::Snapshot(snapshot) => self.snapshot(&snapshot).await,
            Word::Check(check) => self.check(&check).await,
            Word::User(user) => self.user(&user).await,
            Word::Role(role) => self.role(&role).await,
            Word::Auth(auth) => self.auth(auth).await,
        }
    }
}

/// The addresses of what was said, or of what etcdctl's variable says.
fn endpoints(said: Option<Vec<String>>) -> Result<Vec<String>, Failure> {
    let said = said.or_else(|| {
        let variable = env::var("ETCDCTL_ENDPOINTS").ok()?;
        Some(variable.split(',').map(str::to_owned).collect())
    });
    let said = said.unwrap_or_else(|| USUAL_ENDPOINTS.split(',').map(str::to_owned).collect());
    let endpoints: Vec<String> =
        said.iter().map(|one| one.trim()).filter(|one| !one.is_empty()).map(str::to_owned).collect();
    if endpoints.is_empty() {
        return Err(Failure::usage("--endpoints names none; give one HOST:PORT or more"));
    }
    endpoints.iter().map(|endpoint| address(endpoint)).collect()
}

fn address(endpoint: &str) -> Result<String, Failure> {
    let address = match endpoint.split_once("://") {
        None => endpoint.trim_end_matches('/'),
        Some(("http", address)) => address.trim_end_matches('/'),
        Some(("https", _)) => {
            return Err(Failure::usage(format!("{endpoint}: there is no TLS yet; write HOST:PORT")));
        }
        Some(_) => return Err(Failure::usage(format!("{endpoint}: write HOST:PORT"))),
    };
    check_address(address)?;
    Ok(address.to_owned())
}

/// Who asks, if that was said.
fn login(user: Option<String>, password: Option<String>) -> Result<Option<Login>, Failure> {
    let Some(user) = user.or_else(|| env::var("ETCDCTL_USER").ok()).filter(|user| !user.is_empty()) else {
        return Ok(None);
    };
    let password = password.or_else(|| env::var("ETCDCTL_PASSWORD").ok());
    match (user.split_once(':'), password) {
        (Some((name, password)), None) => {
            Ok(Some(Login { name: name.to_owned(), password: password.to_owned() }))
        }
        (_, Some(password)) => Ok(Some(Login { name: user, password })),
        (None, None) => password::asked(&user).map(|password| Some(Login { name: user, password })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_as_etcdctl_takes_them() {
        let read = |text: &str| endpoints(Some(text.split(',').map(str::to_owned).collect()));
        assert_eq!(read("http://a:1/, b:2,c:3/").unwrap(), ["a:1", "b:2", "c:3"]);
        for wrong in ["https://a:1", "unix://a:1", "a", ""] {
            assert_eq!(read(wrong).unwrap_err().exit, 2, "{wrong}");
        }
    }

    #[test]
    fn a_password_stands_behind_the_name_or_by_itself() {
        let said = |user: &str, password: Option<&str>| {
            login(Some(user.to_owned()), password.map(str::to_owned))
                .map(|login| login.map(|login| (login.name, login.password)))
        };
        let pair = |name: &str, password: &str| Ok(Some((name.to_owned(), password.to_owned())));
        assert_eq!(said("a:b:c", None), pair("a", "b:c"));
        assert_eq!(said("a", Some("b")), pair("a", "b"));
        assert_eq!(said("", None), Ok(None));
        assert_eq!(said("a", None).unwrap_err().exit, 2);
    }
}
