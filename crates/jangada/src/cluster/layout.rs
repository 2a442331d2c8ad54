//! Where a local cluster lies on disk and which ports it uses; `D/cluster.toml` remembers how each server was started.
//!
//! ```text
//! D/cluster.toml          this file's content
//! D/cluster.lock          held while a `jangada cluster` command changes something
//! D/n1/data/              the server's own directory
//! D/n1/jangada.pid        its process
//! D/n1/jangada.log        its stdout and stderr
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jangada_server::handle::NewMember;
use serde::{Deserialize, Serialize};

use super::status::Target;
use crate::failure::Failure;

const HEADING: &str = "# How each server of this cluster was started. Written by `jangada cluster`.\n";

/// A cluster on this machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The directory, absolute.
    #[serde(skip)]
    pub dir: PathBuf,
    /// The client port of n1; see [`ports`].
    pub base_port: u16,
    /// All servers that were ever started here, in this order.
    #[serde(rename = "server")]
    pub servers: Vec<Server>,
}

/// One server and how it is started.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// `n1`, `n2` …
    pub name: String,
    /// Where clients connect.
    pub client: String,
    /// Where peers connect.
    pub peer: String,
    /// The text of `--peers`.
    pub peers: String,
    /// Whether it was added later.
    pub join: bool,
    /// Whether it has been taken out of the cluster.
    pub removed: bool,
    /// More arguments for `jangada serve`.
    pub more: Vec<String>,
}

/// The client and the peer port of the `number`-th server (from 1): `base + 2(number - 1)` and the next one.
pub fn ports(base_port: u16, number: u32) -> Option<(u16, u16)> {
    let client = u32::from(base_port).checked_add(number.checked_sub(1)?.checked_mul(2)?)?;
    Some((u16::try_from(client).ok()?, u16::try_from(client + 1).ok()?))
}

impl Layout {
    /// A new cluster of n1 … n`count`; nothing is written yet.
    ///
    /// # Errors
    /// When the ports do not suffice.
    pub fn plan(dir: &Path, count: u32, base_port: u16, more: &[String]) -> Result<Layout, Failure> {
        let mut layout = Layout { dir: absolute(dir)?, base_port, servers: Vec::new() };
        for number in 1..=count {
            layout.servers.push(layout.server(number, more)?);
        }
        let peers = layout.peers();
        for server in &mut layout.servers {
            server.peers.clone_from(&peers);
        }
        Ok(layout)
    }

    /// Reads what [`Layout::save`] wrote.
    ///
    /// # Errors
    /// When there is no cluster in `dir`, or its file is damaged.
    pub fn load(dir: &Path) -> Result<Layout, Failure> {
        let path = dir.join("cluster.toml");
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let dir = dir.display();
                Failure::usage(format!(
                    "no cluster in {dir}; start one with `jangada cluster up 3 --dir {dir}`"
                ))
            }
            _ => Failure::usage(format!("{}: {error}", path.display())),
        })?;
        let mut layout: Layout =
            toml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        layout.dir = absolute(dir)?;
        Ok(layout)
    }

    /// Whether a cluster was ever started in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join("cluster.toml").exists()
    }

    /// Writes `cluster.toml`, whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self) -> Result<(), Failure> {
        let text = toml::to_string(self).expect("names, addresses and flags are plain TOML");
        let path = self.dir.join("cluster.toml");
        let aside = self.dir.join("cluster.toml.new");
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            let mut file = File::create(&aside)?;
            file.write_all(HEADING.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        };
        write().map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))
    }

    /// Keeps other `jangada cluster` commands from changing this cluster while the lock lives.
    ///
    /// # Errors
    /// When another one does right now.
    pub fn lock(dir: &Path) -> Result<File, Failure> {
        let path = dir.join("cluster.lock");
        let open = || -> io::Result<File> {
            fs::create_dir_all(dir)?;
            File::options().create(true).truncate(false).write(true).open(&path)
        };
        let file =
            open().map_err(|error| Failure::usage(format!("cannot open {}: {error}", path.display())))?;
        file.try_lock().map_err(|_| {
            let dir = dir.display();
            Failure::refused(format!(
                "another `jangada cluster` command is at work in {dir}; wait until it is done"
            ))
        })?;
        Ok(file)
    }

    /// The `number`-th server with its default ports; its `peers` are those of today's members.
    ///
    /// # Errors
    /// When its ports would be beyond 65535.
    pub fn server(&self, number: u32, more: &[String]) -> Result<Server, Failure> {
        let (client, peer) = ports(self.base_port, number).ok_or_else(|| {
            Failure::usage(format!("n{number} would need ports above 65535; choose a lower --base-port"))
        })?;
        Ok(Server {
            name: format!("n{number}"),
            client: format!("127.0.0.1:{client}"),
            peer: format!("127.0.0.1:{peer}"),
            peers: self.peers(),
            join: false,
            removed: false,
            more: more.to_vec(),
        })
    }

    /// The text of `--peers` for the members of today.
    pub fn peers(&self) -> String {
        let peers: Vec<String> =
            self.members().map(|server| format!("{}={}", server.name, server.peer)).collect();
        peers.join(",")
    }

    /// The number of the next server: no number is used twice.
    pub fn next_number(&self) -> u32 {
        self.servers.iter().filter_map(|server| number_of(&server.name)).max().unwrap_or(0) + 1
    }

    /// All that have not been removed.
    pub fn members(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| !server.removed)
    }

    /// The server of that name.
    ///
    /// # Errors
    /// Names those that exist.
    pub fn find(&self, name: &str) -> Result<&Server, Failure> {
        self.servers.iter().find(|server| server.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
            let dir = self.dir.display();
            Failure::usage(format!(
                "no server {name:?} in {dir}; there are {} (and `leader`)",
                names.join(", ")
            ))
        })
    }

    /// The client addresses of the members.
    pub fn client_addresses(&self) -> Vec<String> {
        self.members().map(|server| server.client.clone()).collect()
    }

    /// All servers, to be asked how they are.
    pub fn targets(&self, of: impl Fn(&Server) -> bool) -> Vec<Target> {
        let chosen = self.servers.iter().filter(|server| of(server));
        chosen.map(|server| Target { name: server.name.clone(), address: server.client.clone() }).collect()
    }

    /// `D/NAME`.
    pub fn home(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `D/NAME/data`.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.home(name).join("data")
    }

    /// `D/NAME/jangada.pid`.
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.home(name).join("jangada.pid")
    }

    /// `D/NAME/jangada.log`.
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.home(name).join("jangada.log")
    }

    /// The arguments that start this server.
    pub fn arguments(&self, server: &Server) -> Vec<String> {
        let data_dir = self.data_dir(&server.name).to_string_lossy().into_owned();
        let mut arguments = vec!["serve".to_owned()];
        let pairs = [
            ("--name", &server.name),
            ("--data-dir", &data_dir),
            ("--listen-client", &server.client),
            ("--listen-peer", &server.peer),
            ("--peers", &server.peers),
        ];
        for (flag, value) in pairs {
            arguments.extend([flag.to_owned(), value.clone()]);
        }
        if server.join {
            arguments.push("--join".to_owned());
        }
        arguments.extend(server.more.iter().cloned());
        arguments
    }
}

impl Server {
    /// How it is introduced to the members that it joins.
    pub fn as_new_member(&self) -> NewMember {
        NewMember { name: self.name.clone(), peer_addr: self.peer.clone(), client_addr: self.client.clone() }
    }
}

/// The number in `n12`.
pub fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('n')?;
    match digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0') {
        true => digits.parse().ok(),
        false => None,
    }
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(dir).map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_rule_and_end_at_65535() {
        assert_eq!(ports(2379, 1), Some((2379, 2380)));
        assert_eq!(ports(2379, 3), Some((2383, 2384)));
        assert_eq!(ports(65_534, 1), Some((65_534, 65_535)));
        assert_eq!(ports(65_534, 2), None);
        assert_eq!(ports(2379, 0), None);
        assert_eq!(ports(2379, u32::MAX), None);
    }

    #[test]
    fn a_layout_comes_back_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = Layout::plan(dir.path(), 3, 2379, &["--heartbeat-ms".into(), "20".into()]).unwrap();
        layout.servers[2].removed = true;
        layout.save().unwrap();
        assert_eq!(Layout::load(dir.path()).unwrap(), layout);
        assert_eq!(layout.next_number(), 4);
        assert_eq!(layout.peers(), "n1=127.0.0.1:2380,n2=127.0.0.1:2382");
        let arguments = layout.arguments(&layout.servers[0]).join(" ");
        assert!(arguments.starts_with("serve --name n1 --data-dir "), "{arguments}");
        assert!(arguments.ends_with("n3=127.0.0.1:2384 --heartbeat-ms 20"), "{arguments}");
    }

    #[test]
    fn unknown_names_and_absent_clusters_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        let error = Layout::load(dir.path()).unwrap_err();
        assert_eq!(error.exit, 2);
        assert!(error.message.contains("cluster up 3"), "{error}");
        let layout = Layout::plan(dir.path(), 2, 2379, &[]).unwrap();
        assert!(layout.find("n7").unwrap_err().message.contains("n1, n2"));
        assert!(Layout::plan(dir.path(), 3, 65_533, &[]).unwrap_err().message.contains("--base-port"));
    }

    #[test]
    fn only_one_command_changes_a_cluster_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = Layout::lock(dir.path()).unwrap();
        assert_eq!(Layout::lock(dir.path()).unwrap_err().exit, 4);
        drop(held);
        Layout::lock(dir.path()).unwrap();
    }
}
