//! `cargo run -p xtask -- tidy`: the project's own chores.

use std::process::ExitCode;

const USAGE: &str = "\
The project's own chores.

Usage: cargo run -p xtask -- <COMMAND>

Commands:
  tidy    Check what the compiler and clippy cannot: lengths, headers, purity, words, maps, links
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
