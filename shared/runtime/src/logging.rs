//! Logs: one JSON object a line, on standard output, where Lambda collects them.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts logging, at the levels that `RUST_LOG` names (`info` without it). Once per process; a second call
/// changes nothing.
pub fn init_logging() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let json = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false);
    // Fails only if logging was started before.
    let _ = json.with_env_filter(filter).try_init();
}
