//! `cargo run -p xtask -- fuzz`: libFuzzer looks for inputs that break what `jangada-fuzz` says must hold.
//!
//! It is built with the stable compiler: `scripts/rustc-with-coverage` gives our crates the counters that lead it.
//! Without a target each is tried for a bounded number of inputs, from one seed, and so is a bug that was planted, which
//! must be found: a fuzzer that finds nothing may be blind. docs/fuzzing.md is for people.

mod arguments; // what is typed
mod finding; // what was found, told

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

pub use arguments::Arguments;

/// The target with a bug on purpose.
const PLANTED: &str = "planted";

/// How many inputs the planted bug may take.
const PLANTED_INPUTS: u32 = 2_000_000;

/// How many inputs each target is given where nobody says how long, and how many seconds at most.
const INPUTS: u32 = 20_000;
const SECONDS: u32 = 6;

/// The longest input.
const LONGEST: u32 = 1_024;

/// What all runs want: whoever takes 20 s or 2 GiB for an input has a bug, too.
const ALWAYS: [&str; 4] = ["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", "-detect_leaks=0"];

/// Does what the arguments say. False: something was found, or the planted bug was not.
///
/// # Errors
/// If the fuzzer does not build, or a target is not there.
pub fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let fuzzer = Fuzzer::build(root)?;
    match arguments {
        Arguments::All => fuzzer.all(),
        Arguments::Search { target, minutes } => fuzzer.search(target, *minutes),
        Arguments::Replay { target, inputs } => fuzzer.replay(target, inputs),
        Arguments::Shrink { target, input } => fuzzer.shrink(target, input),
        Arguments::Keep { target } => fuzzer.keep(target),
    }
}

/// The program, and where it reads and writes.
struct Fuzzer {
    program: PathBuf,
    /// What is committed.
    corpus: PathBuf,
    /// Inputs that were interesting, and inputs that broke something: not committed.
    found: PathBuf,
}

impl Fuzzer {
    fn build(root: &Path) -> Result<Fuzzer> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--locked", "--quiet", "-p", "jangada-fuzz", "--features", "libfuzzer"])
            .args(["--bin", "jangada-fuzz"])
            .env("RUSTC_WORKSPACE_WRAPPER", root.join("scripts/rustc-with-coverage"))
            .current_dir(root)
            .status()
            .context("cannot run cargo")?;
        ensure!(status.success(), "the fuzzer does not build: it needs a C++ compiler (Debian: g++)");
        let here = std::env::current_exe()?;
        let found = here.with_file_name("fuzz");
        Ok(Fuzzer {
            program: here.with_file_name("jangada-fuzz"),
            corpus: root.join("crates/jangada-fuzz/corpus"),
            found,
        })
    }

    /// The targets: each has a corpus.
    fn targets(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.corpus)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn folder(&self, target: &str) -> Result<PathBuf> {
        let folder = self.corpus.join(target);
        let known = || self.targets().unwrap_or_default().join(", ");
        ensure!(folder.is_dir(), "there is no target {target:?}, only {}", known());
        Ok(folder)
    }

    /// A run of a target, whose folder for findings is there.
    fn command(&self, target: &str) -> Result<Command> {
        let found = self.found.join(target);
        std::fs::create_dir_all(found.join("corpus"))?;
        let mut command = Command::new(&self.program);
        command.env("JANGADA_FUZZ_TARGET", target).stdin(Stdio::null());
        command.args(ALWAYS).arg(format!("-artifact_prefix={}/", found.display()));
        Ok(command)
    }

    /// A bounded number of inputs for each target, at most: always the same as long as nothing changes, and fewer of them
    /// where the time is over before. Who looks for the planted bug has all the time that its inputs take.
    fn all(&self) -> Result<bool> {
        let (mut passed, mut failed) = (0, 0);
        for target in self.targets()? {
            let begun = Instant::now();
            let mut command = self.command(&target)?;
            let inputs = if target == PLANTED { PLANTED_INPUTS } else { INPUTS };
            command.args(["-seed=1", &format!("-max_len={LONGEST}"), &format!("-runs={inputs}")]);
            // What is new is written into the first folder, and must not be found by the next run, which would be another.
            let fresh = self.found.join(&target).join("fresh");
            let _there_is_none = std::fs::remove_dir_all(&fresh);
            std::fs::create_dir_all(&fresh)?;
            if target != PLANTED {
                command.arg(format!("-max_total_time={SECONDS}"));
            }
            command.arg(fresh).arg(self.folder(&target)?);
            let told = finding::run(command)?;
            let is_well = (target == PLANTED) == told.is_finding();
            match (is_well, target == PLANTED) {
                (true, _) => passed += 1,
                (false, true) => println!("fuzz: {target}: its bug was not found: whoever looks is blind"),
                (false, false) => println!("{}", told.explained(&target)),
            }
            failed += usize::from(!is_well);
            println!("fuzz: {target}: {}, {} ms", told.summary(), begun.elapsed().as_millis());
        }
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured");
        Ok(failed == 0)
    }

    /// As long as somebody likes, each time elsewhere. What is interesting is kept beside the program.
    fn search(&self, target: &str, minutes: u32) -> Result<bool> {
        let committed = self.folder(target)?;
        let mut command = self.command(target)?;
        command.arg(format!("-max_len={LONGEST}")).arg(format!("-max_total_time={}", minutes * 60));
        command.arg(self.found.join(target).join("corpus")).arg(committed);
        let told = finding::run_aloud(command)?;
        if told.is_finding() {
            println!("{}", told.explained(target));
        }
        Ok(!told.is_finding())
    }

    /// Plays inputs again.
    fn replay(&self, target: &str, inputs: &[PathBuf]) -> Result<bool> {
        self.folder(target)?;
        let mut command = self.command(target)?;
        command.args(inputs);
        Ok(status(command)?.success())
    }

    /// Makes an input that breaks something small.
    fn shrink(&self, target: &str, input: &Path) -> Result<bool> {
        self.folder(target)?;
        let small = self.found.join(target).join("small");
        let mut command = self.command(target)?;
        command.args(["-minimize_crash=1", "-max_total_time=60"]);
        command.arg(format!("-exact_artifact_path={}", small.display())).arg(input);
        let _given_up_or_done = status(command)?;
        match std::fs::read(&small) {
            Ok(bytes) => {
                println!("fuzz: {} bytes: {}\n{}", bytes.len(), small.display(), bytes.escape_ascii())
            }
            Err(_) => println!("fuzz: it cannot be made smaller"),
        }
        Ok(true)
    }

    /// Takes those inputs of earlier searches into the committed corpus that go where no other goes.
    fn keep(&self, target: &str) -> Result<bool> {
        let committed = self.folder(target)?;
        let mut command = self.command(target)?;
        command.arg("-merge=1").arg(committed).arg(self.found.join(target).join("corpus"));
        Ok(status(command)?.success())
    }
}

fn status(mut command: Command) -> Result<ExitStatus> {
    command.status().context("the fuzzer does not start")
}
