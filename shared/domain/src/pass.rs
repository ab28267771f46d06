//! Passes over the same events: distinct values are counted part by part, so that no pass holds too many at once.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A part of all values there can be: those whose hash ends in certain bits. Each pass counts one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// How many bits of the hash decide; none for the pass that takes every value.
    bits: u32,
    /// What they have to be.
    end: u64,
}

/// The passes of one count: it goes through the same events until every part was counted.
#[derive(Clone, Debug)]
pub(crate) struct Passes {
    current: Pass,
    /// The passes that are still to be made.
    further: Vec<Pass>,
    /// About how many bytes of distinct values are held, and may be.
    bytes: usize,
    bytes_max: usize,
}

/// The bits of a hash.
const BITS_MAX: u32 = u64::BITS - 1;

impl Pass {
    /// Whether `value` is of this part.
    pub fn takes(self, value: &str) -> bool {
        self.bits == 0 || hash(value) & ((1 << self.bits) - 1) == self.end
    }

    /// The part in halves, the first to go on with; `None` if it cannot be any smaller.
    pub fn halves(self) -> Option<(Self, Self)> {
        let bits = Some(self.bits + 1).filter(|bits| *bits <= BITS_MAX)?;
        Some((Self { bits, end: self.end }, Self { bits, end: self.end | 1 << self.bits }))
    }
}

impl Passes {
    /// The first pass of a count that holds about `bytes_max` bytes of distinct values at once.
    pub(crate) fn bounded(bytes_max: usize) -> Self {
        Self { current: Pass::default(), further: Vec::new(), bytes: 0, bytes_max }
    }

    /// What this pass counts.
    pub(crate) fn current(&self) -> Pass {
        self.current
    }

    /// What a further pass has to count, if there is anything left.
    pub(crate) fn begin_further(&mut self) -> Option<Pass> {
        self.current = self.further.pop()?;
        self.bytes = 0;
        Some(self.current)
    }

    /// Notes that so many bytes more are held.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Notes that so many bytes less are held.
    pub(crate) fn let_go(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Leaves half of what this pass counts to a further one if more is held than may be. Whoever holds it lets go
    /// of what this pass no longer takes, and says by [`Passes::set_held`] how much is left.
    pub(crate) fn narrow(&mut self) -> Option<Pass> {
        let (half, further) = self.is_too_much().then(|| self.current.halves())??;
        self.current = half;
        self.further.push(further);
        Some(half)
    }

    /// Whether more is held than may be.
    pub(crate) fn is_too_much(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Notes that so many bytes are held.
    pub(crate) fn set_held(&mut self, bytes: usize) {
        self.bytes = bytes;
    }
}

/// The same in every pass.
fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_of_one_half() {
        let mut parts = vec![Pass::default()];
        for _ in 0..4 {
            parts = parts.into_iter().flat_map(|part| <[Pass; 2]>::from(part.halves().unwrap())).collect();
        }
        let values = (0..2000).map(|n| format!("user-{n}")).collect::<Vec<_>>();
        for value in &values {
            assert_eq!(parts.iter().filter(|part| part.takes(value)).count(), 1, "{value}");
        }
        for part in parts {
            let taken = values.iter().filter(|value| part.takes(value)).count();
            assert!((60..200).contains(&taken), "{taken} of 2000 in {part:?}");
        }
        let smallest = (0..100).fold(Pass::default(), |part, _| part.halves().map_or(part, |(_, half)| half));
        assert_eq!(smallest.halves(), None);
    }
}
