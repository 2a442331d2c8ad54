//! `jangada cluster add`, `remove` and `members set`: other members, in one joint change.
//!
//! New servers are started first and have to answer; if the change is refused, they are stopped and forgotten again.
//! If its outcome is unknown, nothing is undone, because a server that may be a member must not vanish.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use jangada_server::handle::NewMember;
use jangada_server::status::{MemberRole, MembershipStage};

use crate::cluster::admin::{self, Changed, Trace};
use crate::cluster::layout::{Layout, Server, number_of};
use crate::cluster::process::{self, State};
use crate::cluster::run::{self, START_PATIENCE, STOP_PATIENCE, Stage, Started};
use crate::failure::Failure;
use crate::output::{self, Format};

/// How long a change whose outcome is unknown may take to settle.
const SETTLING: Duration = Duration::from_secs(3);

/// What to do with the members.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the members.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make exactly these the members: others are taken out and stopped, missing ones are started
    Set {
        /// Their names, comma separated
        #[arg(required = true, value_delimiter = ',', value_name = "a,b,c")]
        names: Vec<String>,
        /// Give up after this many seconds
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        timeout: u64,
    },
}

/// `members …`.
///
/// # Errors
/// See [`set`].
pub fn run(layout: Layout, arguments: Arguments, format: Format) -> Result<(), Failure> {
    let Command::Set { names, timeout } = arguments.command;
    check_names(&names)?;
    set(layout, &names, Duration::from_secs(timeout), format)
}

/// `add [NAME…]`.
///
/// # Errors
/// See [`set`].
pub fn add(layout: Layout, names: &[String], timeout: Duration, format: Format) -> Result<(), Failure> {
    let names = match names {
        [] => vec![format!("n{}", layout.next_number())],
        names => names.to_vec(),
    };
    check_names(&names)?;
    let mut voters = current_voters(&layout)?;
    if let Some(name) = names.iter().find(|name| voters.contains(name)) {
        return Err(Failure::refused(format!("{name} is a member already; nothing was changed")));
    }
    voters.extend(names);
    set(layout, &voters, timeout, format)
}

/// `remove NAME…`.
///
/// # Errors
/// See [`set`].
pub fn remove(layout: Layout, names: &[String], timeout: Duration, format: Format) -> Result<(), Failure> {
    let leaving: Vec<String> = run::resolve(&layout, names)?.into_iter().map(|server| server.name).collect();
    let voters = current_voters(&layout)?;
    if let Some(name) = leaving.iter().find(|name| !voters.contains(name)) {
        return Err(Failure::refused(format!("{name} is not a member; nothing was changed")));
    }
    let staying: Vec<String> = voters.into_iter().filter(|name| !leaving.contains(name)).collect();
    if staying.is_empty() {
        return Err(Failure::refused(
            "that would leave no member; `jangada cluster down` stops the whole cluster and keeps its data",
        ));
    }
    set(layout, &staying, timeout, format)
}

fn check_names(names: &[String]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for name in names {
        if number_of(name).is_none() {
            return Err(Failure::usage(format!(
                "{name:?}: servers here are called n1, n2 … (it fixes their ports)"
            )));
        }
        if !seen.insert(name) {
            return Err(Failure::usage(format!("{name} is named twice")));
        }
    }
    Ok(())
}

/// Who votes now, by the leader's word.
fn current_voters(layout: &Layout) -> Result<Vec<String>, Failure> {
    let leader = run::leader(layout, Instant::now() + Duration::from_secs(3))?;
    let overview = run::overview(layout, |server| server.name == leader.name);
    let status = overview.leader().ok_or_else(|| {
        Failure::unreachable("the leader changed at this moment; nothing was changed, try again")
    })?;
    let members = status.membership.members.iter();
    // A server that is about to leave is no member any more; one that is about to become one, is.
    Ok(members
        .filter(|member| member.role != MemberRole::Outgoing)
        .map(|member| member.name.clone())
        .collect())
}

/// Makes `voters` the members.
fn set(mut layout: Layout, voters: &[String], timeout: Duration, format: Format) -> Result<(), Failure> {
    let before = layout.clone();
    let current = current_voters(&layout)?;
    let joining: Vec<&String> = voters.iter().filter(|name| !current.contains(name)).collect();
    let servers = layout.client_addresses();
    let newcomers = enlist(&mut layout, &joining)?;
    layout.save()?;
    let mut started = match start_newcomers(&layout, &newcomers) {
        Ok(started) => started,
        Err(failure) => {
            before.save()?;
            return Err(failure.because_of("nothing was changed"));
        }
    };
    let new: Vec<NewMember> = newcomers.iter().map(Server::as_new_member).collect();
    match admin::change_members(&servers, voters, &new, timeout) {
        Ok(changed) => {
            let leaving: Vec<&String> = current.iter().filter(|name| !voters.contains(name)).collect();
            dismiss(&mut layout, &leaving)?;
            tell(&changed, &newcomers, &leaving, format)
        }
        Err((failure, Trace::None)) => {
            undo(&before, &mut started)?;
            Err(failure)
        }
        Err((failure, Trace::Possible)) => match settled(&layout) {
            // It was let go again, or never begun.
            Some(members) if newcomers.iter().all(|server| !members.contains(&server.name)) => {
                undo(&before, &mut started)?;
                Err(failure.because_of("nothing was changed"))
            }
            Some(_) | None => Err(failure),
        },
    }
}

/// All members by the leader's word, once no change is under way any more; `None` if that does not come soon.
fn settled(layout: &Layout) -> Option<BTreeSet<String>> {
    let deadline = Instant::now() + SETTLING;
    while Instant::now() < deadline {
        let overview = run::overview(layout, |_| true);
        match overview.leader().map(|status| &status.membership) {
            Some(membership) if membership.stage == MembershipStage::Final => {
                return Some(membership.members.iter().map(|member| member.name.clone()).collect());
            }
            Some(_) | None => std::thread::sleep(process::POLL),
        }
    }
    None
}

/// Gives each new name its place in the layout. One that was removed before gets its old place again.
fn enlist(layout: &mut Layout, joining: &[&String]) -> Result<Vec<Server>, Failure> {
    let peers = layout.peers();
    let more = layout.servers.first().map(|server| server.more.clone()).unwrap_or_default();
    let mut newcomers = Vec::new();
    for name in joining {
        let number = number_of(name).ok_or_else(|| Failure::usage(format!("{name:?}: call it n1, n2 …")))?;
        let mut server = match layout.servers.iter().position(|server| server.name == **name) {
            Some(place) => layout.servers.remove(place),
            None => layout.server(number, &more)?,
        };
        server.peers.clone_from(&peers);
        server.join = true;
        server.removed = false;
        newcomers.push(server.clone());
    }
    layout.servers.extend(newcomers.iter().cloned());
    layout.servers.sort_by_key(|server| number_of(&server.name));
    Ok(newcomers)
}

/// Starts those that do not run yet and waits until they answer.
fn start_newcomers(layout: &Layout, newcomers: &[Server]) -> Result<Vec<Started>, Failure> {
    let absent = newcomers.iter().filter(|server| process::state(layout, server) == State::Gone);
    let absent: Vec<Server> = absent.cloned().collect();
    let mut started = run::start(layout, &absent, &[])?;
    match run::wait_for(layout, &mut started, Stage::Answering, Instant::now() + START_PATIENCE) {
        Ok(()) => Ok(started),
        Err(failure) => {
            run::abandon(&mut started);
            Err(failure)
        }
    }
}

/// The change was refused: as if it had not been asked for.
fn undo(before: &Layout, started: &mut Vec<Started>) -> Result<(), Failure> {
    let names: Vec<String> = started.iter().map(|one| one.server.name.clone()).collect();
    run::abandon(started);
    for name in names {
        // One that had a place before keeps its data; a server that never was a member leaves nothing.
        if before.find(&name).is_err() {
            let _ = std::fs::remove_dir_all(before.home(&name));
        }
    }
    before.save()
}

/// Stops those that are no members any more; their data stays.
fn dismiss(layout: &mut Layout, leaving: &[&String]) -> Result<(), Failure> {
    for server in &mut layout.servers {
        server.removed |= leaving.contains(&&server.name);
    }
    layout.save()?;
    let servers = layout.servers.iter().filter(|server| leaving.contains(&&server.name));
    let servers: Vec<Server> = servers.cloned().collect();
    let stubborn = run::stop(layout, &servers, STOP_PATIENCE)?;
    for server in &stubborn {
        output::note(&format!("{} is no member any more, but did not stop; it is killed", server.name));
    }
    run::kill(layout, &stubborn).map(drop)
}

fn tell(changed: &Changed, added: &[Server], removed: &[&String], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(changed);
    }
    for server in added {
        output::line(&format!("added {} (clients {}, peers {})", server.name, server.client, server.peer))?;
    }
    for name in removed {
        output::line(&format!("removed {name} and stopped it; its data stays"))?;
    }
    let side = |tolerance: &jangada_server::handle::Tolerance| {
        let (count, names) = (tolerance.voters.len(), tolerance.voters.join(", "));
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} voter{plural} ({names}), {} may fail", tolerance.tolerates)
    };
    output::line(&format!("before: {}", side(&changed.before)))?;
    output::line(&format!("after:  {}", side(&changed.after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_happens() {
        let names = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert!(check_names(&names("n1,n12")).is_ok());
        assert!(check_names(&names("n1,n1")).unwrap_err().message.contains("twice"));
        for wrong in ["x", "n0", "n01", "", "n-1", "5"] {
            assert_eq!(check_names(&names(wrong)).unwrap_err().exit, 2, "{wrong}");
        }
    }

    #[test]
    fn a_newcomer_takes_the_place_of_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = Layout::plan(dir.path(), 3, 2379, &[]).unwrap();
        layout.servers[1].removed = true;
        let (n2, n5) = ("n2".to_owned(), "n5".to_owned());
        let newcomers = enlist(&mut layout, &[&n5, &n2]).unwrap();
        assert_eq!(newcomers[0].client, "127.0.0.1:2387");
        assert!(newcomers.iter().all(|server| server.join && !server.removed));
        assert_eq!(newcomers[1].peers, "n1=127.0.0.1:2380,n3=127.0.0.1:2384");
        let names: Vec<&str> = layout.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["n1", "n2", "n3", "n5"]);
    }
}
