//! What every `main.rs` needs: logging, configuration from the environment, the platform over AWS, and how a
//! batch of messages is answered.

pub mod batch;
mod clock;
mod config;
mod logging;
mod platform;
mod random;

pub use clock::SystemClock;
pub use config::{Config, MissingVariable};
pub use logging::init_logging;
pub use platform::connect;
pub use random::SystemRandom;
