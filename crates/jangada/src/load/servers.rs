//! The processes behind addresses of this machine, and what CPU they have used: what `/proc` says.

use std::collections::BTreeSet;
use std::fs;
use std::net::ToSocketAddrs;
use std::path::Path;

/// A listening socket, as `/proc/net/tcp` calls it.
const LISTENING: &str = "0A";

/// The processes that listen at these addresses; none for those of other machines and of other people.
pub fn processes_at(addresses: &[String]) -> BTreeSet<u32> {
    let ports = addresses.iter().filter_map(|address| local_port(address)).collect();
    let sockets: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, &ports))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| has_any(*pid, &sockets)).collect()
}

/// What these processes have used since they began, in seconds of CPU.
pub fn cpu_seconds(pids: &BTreeSet<u32>) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| used_ticks(format!("/proc/{pid}/stat"))).sum();
    seconds(ticks)
}

/// What this process has used.
pub fn own_cpu_seconds() -> f64 {
    seconds(used_ticks("/proc/self/stat").unwrap_or(0))
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn local_port(address: &str) -> Option<u16> {
    let mut resolved = address.to_socket_addrs().ok()?;
    // Loopback only: which other addresses are ours nobody needs to know for servers under test.
    resolved.find(|found| found.ip().is_loopback()).map(|found| found.port())
}

/// The inodes of the sockets in such a table that listen at one of these ports.
fn listeners(table: &str, ports: &BTreeSet<u16>) -> Vec<u64> {
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        let listens = *columns.get(3)? == LISTENING && ports.contains(&u16::from_str_radix(port, 16).ok()?);
        if listens { columns.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn has_any(pid: u32, sockets: &BTreeSet<String>) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

/// User and system time of a process and its threads, in clock ticks.
fn used_ticks(stat: impl AsRef<Path>) -> Option<u64> {
    let text = fs::read_to_string(stat).ok()?;
    // The name before it may hold anything, closing parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let mut numbers = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(numbers.next()?.ok()? + numbers.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_leads_to_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(processes_at(std::slice::from_ref(&address)), BTreeSet::from([std::process::id()]));
        drop(listener);
        assert_eq!(processes_at(&[address]), BTreeSet::new());
        assert_eq!(processes_at(&["not an address".to_owned()]), BTreeSet::new());
    }

    #[test]
    fn a_process_uses_more_cpu_the_longer_it_works() {
        let before = own_cpu_seconds();
        let mut sum = 0_u64;
        while own_cpu_seconds() < before + 0.02 {
            sum = (0..100_000_u64).fold(sum, u64::wrapping_add);
        }
        let pids = BTreeSet::from([std::process::id()]);
        assert!(cpu_seconds(&pids) >= before + 0.02, "{sum}");
    }
}
