//! `cargo run -p xtask --features codegen -- codegen`: Rust for the `.proto` files of `crates/jangada-etcd`.
//!
//! What comes out is committed, so that nobody needs this to build Jangada. `--check` writes nothing, and fails if
//! what is committed is not what would come out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use prost::Message;

const CRATE: &str = "crates/jangada-etcd";
/// All others are imported by one of these.
const FILES: [&str; 3] = ["rpc.proto", "v3lock.proto", "v3election.proto"];
/// Payloads that are shared with what was received, not copied out of it.
const SHARED: [&str; 2] = [".etcdserverpb", ".mvccpb"];

/// What the messages look like, for the JSON gateway, which knows none of them by name.
const DESCRIPTORS: &str = "descriptors.bin";

/// Writes the files; with `check`, compares them.
///
/// # Errors
/// If a `.proto` file is wrong, or, with `check`, says which of the files is not up to date.
pub fn run(root: &Path, check: bool) -> anyhow::Result<()> {
    let fresh = generate(&root.join(CRATE).join("proto"))?;
    let folder = root.join(CRATE).join("src/generated");
    if !check {
        fs::create_dir_all(&folder)?;
        for (name, content) in &fresh {
            fs::write(folder.join(name), content)?;
        }
        println!("codegen: {} files written", fresh.len());
        return Ok(());
    }
    for (name, content) in &fresh {
        let committed = fs::read(folder.join(name)).unwrap_or_default();
        anyhow::ensure!(
            committed == *content,
            "{CRATE}/src/generated/{name} is not what {CRATE}/proto makes of it: run \
             `cargo run -p xtask --features codegen -- codegen`, and commit the result"
        );
    }
    println!("codegen: {} files are up to date", fresh.len());
    Ok(())
}

/// The generated files by name.
fn generate(protos: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let descriptors = protox::compile(FILES, [protos]).context("the .proto files cannot be read")?;
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        // Comments and lines are for the reader of the .proto files alone.
        file.source_code_info = None;
    }
    let out = std::env::temp_dir().join(format!("jangada-codegen-{}", std::process::id()));
    fs::create_dir_all(&out)?;
    let written = SHARED
        .iter()
        .fold(tonic_prost_build::configure(), |builder, package| builder.bytes(package))
        .out_dir(&out)
        .build_client(true)
        .build_server(true)
        .build_transport(false)
        .compile_fds(descriptors);
    let files = written.context("no code comes of them").and_then(|()| read(&out));
    fs::remove_dir_all(&out)?;
    let mut files = files?;
    files.insert(DESCRIPTORS.to_owned(), bare.encode_to_vec());
    Ok(files)
}

fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    fs::read_dir(folder)?
        .map(|entry| {
            let path = entry?.path();
            let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
            Ok((name, fs::read(&path)?))
        })
        .collect()
}
