//! Makes a long recording: five servers, sixty seconds, a write every 1.8 milliseconds, a crash, an isolation, losses. About
//! a million records, to try diagrams on:
//!
//! ```sh
//! cargo run --release -p jangada-sim --example long_recording > long.jsonl
//! time jangada timeline long.jsonl --save long.html
//! ```

use std::io::{self, BufWriter, Write};

use jangada_sim::script::{Cluster, Simulated, Stage, parse};
use jangada_trace::jsonl;
use jangada_trace::names::Names;

/// Writes, and the time between two of them.
const WRITES: u32 = 33_000;
const PAUSE: &str = "run 1800us";

/// What befalls the servers at which write.
const TROUBLE: [(u32, &str); 8] = [
    (2_000, "crash leader"),
    (3_000, "restart all"),
    (6_000, "isolate 2"),
    (7_000, "heal"),
    (10_000, "pause 4"),
    (10_500, "resume 4"),
    (14_000, "lose 5%"),
    (16_000, "lose 0%"),
];

fn main() -> io::Result<()> {
    let mut stage = Stage::on(Simulated::new());
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let (names, mut line, mut count) = (Names::new(), String::new(), 0_u64);
    let mut seen = 0;
    let act = |stage: &mut Stage<Simulated>, text: &str| {
        let command = parse(text).ok().flatten().unwrap_or_else(|| panic!("{text} is no command"));
        if let Err(why) = stage.carry_out(&command) {
            eprintln!("{text}: {why}");
        }
        let _told = stage.take_told();
    };
    act(&mut stage, "servers 5");
    act(&mut stage, "wait leader");
    for write in 0..WRITES {
        for (_, trouble) in TROUBLE.iter().filter(|(at, _)| *at == write) {
            act(&mut stage, trouble);
        }
        act(&mut stage, &format!("begin set k{} {write}", write % 100));
        act(&mut stage, PAUSE);
        if write % 100 == 99 || write + 1 == WRITES {
            let now = stage.as_cluster().now();
            let records = stage.as_cluster().recorded();
            for record in records.iter().filter(|record| record.time.0 >= seen && record.time < now) {
                line.clear();
                jsonl::write(&mut line, record, &names);
                line.push('\n');
                out.write_all(line.as_bytes())?;
                count += 1;
            }
            seen = now.0;
        }
    }
    out.flush()?;
    eprintln!("{count} records, {:.1} s", stage.as_cluster().now().0 as f64 / 1e9);
    Ok(())
}
