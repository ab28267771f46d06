//! What tests need: an embedded DynamoDB each, an AWS for the rest, and a Lambda to run the functions in.

use std::path::{Path, PathBuf};

mod contention;
mod dynamo;
mod lambda;
mod line;
mod moto;

pub use dynamo::EmbeddedDynamo;
pub use lambda::{LambdaProcess, Resources};
pub use line::{Consumed, Fault, Line};
pub use moto::Moto;

/// Where `Cargo.toml` of the workspace, `template.yaml` and `events/` are.
pub fn workspace_root() -> PathBuf {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    shared.and_then(Path::parent).unwrap_or(Path::new("/")).to_owned()
}
