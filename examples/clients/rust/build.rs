//! Generates the client from the public protocol; protox is a compiler of .proto files in Rust, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../../proto";
    let names = ["topic", "records", "stream", "group"];
    let files: Vec<String> = names.iter().map(|name| format!("{root}/riverrun/v1/{name}.proto")).collect();
    println!("cargo:rerun-if-changed={root}");
    let compiled = protox::compile(files, [root])?;
    tonic_prost_build::configure().build_server(false).compile_fds(compiled)?;
    Ok(())
}
