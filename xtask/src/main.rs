//! `cargo run -p xtask -- tidy`, `-- mutants`, `-- fuzz`: the project's own chores.

use std::process::ExitCode;

const USAGE: &str = "\
The project's own chores.

Usage: cargo run -p xtask -- <COMMAND>

Commands:
  tidy     Check what the compiler and clippy cannot: lengths, headers, purity, words, maps, links, mutants
  mutants  Plant every bug of the catalogue in a copy of the sources, and see each of them found
           [M27 ...]          only these
           --hunt M27 [--seeds 0..5000]   look for a seed at which its checker fires
           --rehunt [M27 ...] look for new seeds for those that are not found any more, and store them
           --binary           only build a jangada that has them all: jangada sim --mutant M27
           --unit-tests       run the copy's unit tests too, with no mutant switched on
  fuzz     Have libFuzzer look for inputs that break something, a little of every target
           TARGET [--minutes 10]   one target, for longer
           TARGET FILE ...         play inputs again
           TARGET --shrink FILE    make one that breaks something small
           TARGET --keep           take what searches came across into the corpus
  codegen  Turn the .proto files of crates/jangada-etcd into Rust; needs `--features codegen`
           --check            only see whether what is committed is up to date
  etcd-diff  Ask a real etcd and us the same, and compare the answers; needs `--features etcd-diff`
           --seeds 1..100     which generated sequences, beside those that were written by hand
           --members 3        each request goes to the next of them; --only NAME; --etcd FILE
";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => {
            let report = xtask::tidy::run(&xtask::root())?;
            for complaint in &report.complaints {
                println!("{complaint}");
            }
            println!("tidy: {} files read, {} complaints", report.files, report.complaints.len());
            Ok(if report.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ["mutants", ref words @ ..] => {
            let arguments = xtask::mutants::Arguments::parse(words)?;
            xtask::mutants::run(&xtask::root(), &arguments)
        }
        ["fuzz", ref words @ ..] => {
            let well = xtask::fuzz::run(&xtask::root(), &xtask::fuzz::Arguments::parse(words)?)?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        #[cfg(feature = "codegen")]
        ["codegen", ref words @ ..] if matches!(words, [] | ["--check"]) => {
            xtask::codegen::run(&xtask::root(), !words.is_empty())?;
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "etcd-diff")]
        ["etcd-diff", ref words @ ..] => {
            let clean = xtask::etcd_diff::run(&xtask::root(), &xtask::etcd_diff::Arguments::parse(words)?)?;
            Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
