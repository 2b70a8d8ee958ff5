//! Arithmetic in the widest registers that this processor has, found out at run time.

#[cfg(not(target_arch = "x86_64"))]
mod other;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use other::Processor;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::Processor;

use super::q8::BLOCK;

/// Products of blocks in wide registers.
pub(super) trait Vectors: Copy {
    /// Sums in lanes.
    type Sum: Copy;
    /// A block of weights, widened to 16 bits.
    type Wide: Copy;

    fn zero(self) -> Self::Sum;
    fn widen(self, weights: &[i8; BLOCK]) -> Self::Wide;
    /// `sum` and the products of a block, times `factor`.
    fn add(self, sum: Self::Sum, weights: Self::Wide, values: &[i16; BLOCK], factor: f32) -> Self::Sum;
    /// All lanes together.
    fn sum(self, sum: Self::Sum) -> f32;
}

/// Runs `work` compiled for the widest registers; what it calls must be inlined to have them.
#[inline(always)]
pub(super) fn widely<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
