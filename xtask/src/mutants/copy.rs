//! The copy of the sources that has all mutants in it, and its build.
//!
//! It lies in the target folder and is only ever written where something has changed, so that a second build has
//! little to do. The sources themselves know nothing of mutants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::mutants::catalogue::{FOLDER, Mutant};
use crate::mutants::edit;
use crate::tidy::Tree;

/// The copy, built.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its top folder.
    pub root: PathBuf,
    target: PathBuf,
    /// The programs that were built: the runner, and the integration tests of each package.
    programs: BTreeMap<String, PathBuf>,
}

/// The package that runs one world and says which checker fired.
pub const RUNNER: &str = "mutant-runner";

impl Copy {
    /// Writes the sources with all mutants into the target folder.
    ///
    /// # Errors
    /// If an edit does not fit, or the disk refuses.
    pub fn make(root: &Path, tree: &Tree, mutants: &[Mutant]) -> Result<Copy> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let top = target.join("mutants");
        let copy = Copy { root: top.join("src"), target: top.join("target"), programs: BTreeMap::new() };
        let mut wanted = BTreeSet::new();
        for path in tree.paths.iter().filter(|path| belongs(path)) {
            if path == Path::new(BY_NAME) {
                wanted.insert(path.clone());
                continue;
            }
            let content = match tree.rust.iter().find(|source| source.path == *path) {
                Some(source) => {
                    edit::apply(&source.text, path, mutants).map_err(anyhow::Error::msg)?.into_bytes()
                }
                None => std::fs::read(root.join(path))?,
            };
            let place = place_of(path);
            write_if_new(&copy.root.join(&place), &with_switch(path, content))?;
            wanted.insert(place);
        }
        let switch = std::fs::read(root.join(FOLDER).join("planted.rs"))?;
        for name in SWITCHED {
            let path = Path::new("crates").join(name).join("src/planted.rs");
            write_if_new(&copy.root.join(&path), &switch)?;
            wanted.insert(path);
        }
        let named = std::fs::read_to_string(root.join(FOLDER).join("mutant.rs"))?;
        let ids: Vec<&str> = mutants.iter().map(|mutant| mutant.id.as_str()).collect();
        write_if_new(
            &copy.root.join(BY_NAME),
            named.replace("&[\"canary\"]", &format!("&{ids:?}")).as_bytes(),
        )?;
        remove_others(&copy.root, Path::new(""), &wanted)?;
        Ok(copy)
    }

    /// Builds the integration tests of a package (`jangada-wal`) or its unit tests (`jangada-wal/lib`), and
    /// remembers where they are.
    ///
    /// # Errors
    /// If they do not compile.
    pub fn build_tests(&mut self, name: &str) -> Result<()> {
        match name.strip_suffix("/lib") {
            Some(package) => {
                let built = self.cargo(&["test", "--package", package, "--lib", "--no-run"])?;
                self.remember(name, &built, &package.replace('-', "_"))
            }
            None => {
                let built = self.cargo(&["test", "--package", name, "--test", "it", "--no-run"])?;
                self.remember(name, &built, "it")
            }
        }
    }

    /// Builds the program that runs worlds.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn build_runner(&mut self) -> Result<()> {
        let built = self.cargo(&["build", "--package", RUNNER])?;
        self.remember(RUNNER, &built, RUNNER)
    }

    /// Builds the binary, with `jangada sim --mutant`.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn build_binary(&mut self) -> Result<&Path> {
        let built = self.cargo(&["build", "--package", "jangada"])?;
        self.remember("jangada", &built, "jangada")?;
        self.program("jangada")
    }

    /// The copy's own unit tests, with no mutant switched on: it does what the original does.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn run_unit_tests(&self, packages: &[&str]) -> Result<()> {
        let mut arguments = vec!["test", "--lib"];
        arguments.extend(packages.iter().flat_map(|package| ["--package", package]));
        self.cargo(&arguments).map(drop)
    }

    /// A program that was built here.
    ///
    /// # Errors
    /// If it was not.
    pub fn program(&self, name: &str) -> Result<&Path> {
        self.programs.get(name).map(PathBuf::as_path).with_context(|| format!("{name} was not built"))
    }

    fn remember(&mut self, name: &str, messages: &str, target: &str) -> Result<()> {
        let mut executable = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_it = message["target"]["name"] == target;
            message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
        });
        let path = executable.next_back().with_context(|| format!("cargo did not say where {name} is"))?;
        self.programs.insert(name.to_owned(), path);
        Ok(())
    }

    /// As fast to build as it can be while it still runs fast; what cargo says about it in JSON.
    fn cargo(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("cargo")
            .args(arguments)
            .args(["--release", "--message-format", "json-render-diagnostics"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
            .env("RUSTFLAGS", "--cap-lints allow")
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        let text = String::from_utf8(output.stdout).context("cargo did not answer in UTF-8")?;
        if !output.status.success() {
            bail!("cargo {} failed in {}", arguments.join(" "), self.root.display());
        }
        Ok(text)
    }
}

/// What the command line does with `--mutant`: refuses, and in the copy does it.
const BY_NAME: &str = "crates/jangada/src/commands/mutant.rs";

/// The crates that get the switch: the core, on which all others but the store depend, and the store.
const SWITCHED: [&str; 2] = ["jangada-raft", "jangada-kv"];

fn belongs(path: &Path) -> bool {
    let is_manifest = path.parent() == Some(Path::new(""))
        && path.extension().is_some_and(|extension| extension == "toml" || extension == "lock");
    is_manifest || ["crates", "sim", RUNNER_FOLDER].iter().any(|folder| path.starts_with(folder))
}

/// Where the runner's package lies; in the copy it is one of the crates.
const RUNNER_FOLDER: &str = "mutants/runner";

fn place_of(path: &Path) -> PathBuf {
    match path.strip_prefix(RUNNER_FOLDER) {
        Ok(inside) => Path::new("crates").join(RUNNER).join(inside),
        Err(_) => path.to_path_buf(),
    }
}

/// Two files become others: the workspace has the runner instead of us, and two crates get the switch.
fn with_switch(path: &Path, content: Vec<u8>) -> Vec<u8> {
    let is = |name: &str| path == Path::new(name);
    let text = |content: Vec<u8>| String::from_utf8_lossy(&content).into_owned();
    if is("Cargo.toml") {
        text(content).replace(", \"xtask\"", "").into_bytes()
    } else if SWITCHED.iter().any(|name| is(&format!("crates/{name}/src/lib.rs"))) {
        (text(content) + "\npub mod planted;\n").into_bytes()
    } else {
        content
    }
}

fn write_if_new(path: &Path, content: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let folder = path.parent().context("a file lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// What an earlier copy had and this one has not.
fn remove_others(root: &Path, folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(root, &path, wanted)?;
        } else if !wanted.contains(&path) && path != Path::new("Cargo.lock") {
            std::fs::remove_file(root.join(&path))?;
        }
    }
    Ok(())
}
