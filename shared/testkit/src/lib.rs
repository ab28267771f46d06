//! What tests need: an embedded DynamoDB each.

mod dynamo;

pub use dynamo::EmbeddedDynamo;
