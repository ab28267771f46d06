//! How much of everything is measured.

/// Divides what a whole run measures. Its figures are those that count; a quick run only shows that all of it
/// works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(u64);

impl Scale {
    /// All of it.
    pub const WHOLE: Self = Self(1);
    /// A hundredth.
    pub const QUICK: Self = Self(100);

    /// So much of `count`, and at least 1.
    pub fn of(self, count: u32) -> u32 {
        let part = u64::from(count) / self.0;
        u32::try_from(part).unwrap_or(count).max(1)
    }

    /// As [`Scale::of`], of a number of things in memory.
    pub fn len(self, count: u32) -> usize {
        usize::try_from(self.of(count)).unwrap_or(usize::MAX)
    }
}
