//! Files that are replaced as a whole.

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Puts `contents` at `path` in one step: a process killed at any moment leaves the old or the new.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // Two writers of the same file each have their own.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", WRITES.fetch_add(1, Ordering::Relaxed)));
    fs::write(&temporary, contents)?;
    fs::rename(&temporary, path)
}
