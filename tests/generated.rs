//! Generated code is in git so that a build needs no generator; this test makes it again and compares.
//! `CLEARHOUSE_REGENERATE=1 cargo test --test clearhouse generated` writes it.

use std::path::{Path, PathBuf};

use prost::Message as _;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

const FILES: [&str; 9] =
    ["envelope", "directory", "receipt", "audit", "account", "exchange", "sync", "content", "mailbox"];

fn generate(out: &Path) -> Vec<(PathBuf, PathBuf)> {
    let files: Vec<String> = FILES.iter().map(|f| format!("clearhouse/v1/{f}.proto")).collect();
    let mut compiler = protox::Compiler::new([root().join("proto")]).unwrap();
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files).unwrap();
    let set = compiler.file_descriptor_set();

    let messages = out.join("messages");
    let services = out.join("services");
    std::fs::create_dir_all(&messages).unwrap();
    std::fs::create_dir_all(&services).unwrap();

    // Messages without stubs: the room `wire` depends on prost alone. Byte fields hold case data: no Debug.
    let mut only_messages = set.clone();
    for file in &mut only_messages.file {
        file.service.clear();
    }
    prost_build::Config::new()
        .out_dir(&messages)
        .skip_debug(["."])
        .enable_type_names()
        .btree_map(["."])
        .compile_fds(only_messages)
        .unwrap();

    // What a peer sends is counted before it is decoded, by the name of its message.
    tonic_prost_build::configure()
        .codec_path("crate::rpc::codec::Counted")
        .out_dir(&services)
        .extern_path(".clearhouse.v1", "::clearhouse_wire::v1")
        .build_transport(false)
        .compile_fds(set.clone())
        .unwrap();

    let mut bare = set;
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    std::fs::write(services.join("descriptor.bin"), bare.encode_to_vec()).unwrap();

    vec![
        (messages.join("clearhouse.v1.rs"), root().join("crates/wire/src/gen/clearhouse.v1.rs")),
        (services.join("clearhouse.v1.rs"), root().join("crates/node/src/rpc/gen/clearhouse.v1.rs")),
        (services.join("descriptor.bin"), root().join("crates/node/src/rpc/gen/descriptor.bin")),
    ]
}

#[test]
fn generated_code_is_what_the_proto_files_say() {
    let out = tempfile::tempdir().unwrap();
    let write = std::env::var_os("CLEARHOUSE_REGENERATE").is_some();
    for (fresh, kept) in generate(out.path()) {
        let bytes = std::fs::read(&fresh).unwrap();
        if write {
            std::fs::write(&kept, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&kept).is_ok_and(|k| k == bytes),
            "{} is stale: run CLEARHOUSE_REGENERATE=1 cargo test --test clearhouse generated",
            kept.display()
        );
    }
}
