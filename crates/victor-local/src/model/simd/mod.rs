//! Arithmetic in the widest registers that this processor has, found out at run time.

#[cfg(not(target_arch = "x86_64"))]
mod other;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::f16;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use other::Processor;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::Processor;

use super::q8::{Fours, LANES};

/// Products of whole numbers in wide registers, lane by lane.
pub(super) trait Vectors: Copy {
    /// Whether there are as many as thirty-two registers for all lanes.
    const MANY: bool;
    /// A floating point number in each lane.
    type Floats: Copy;
    /// A whole number in each lane.
    type Wholes: Copy;
    /// Weights, widened to 16 bits.
    type Wide: Copy;

    fn zero(self) -> Self::Floats;
    fn whole(self, number: i32) -> Self::Wholes;
    fn halves(self, numbers: &[f16; LANES]) -> Self::Floats;
    fn widen(self, weights: &Fours) -> Self::Wide;
    /// `sum` and the products of each lane's four weights with the same four values: the first and third, the others.
    fn dot(self, sum: Self::Wholes, weights: Self::Wide, values: &[[i16; 2]; 2]) -> Self::Wholes;
    /// `sum` and `products`, these times `scales` and `factor`.
    fn add(self, sum: Self::Floats, products: Self::Wholes, scales: Self::Floats, factor: f32) -> Self::Floats;
    fn lanes(self, sum: Self::Floats) -> [f32; LANES];
}

/// Runs `work` compiled for the widest registers; what it calls must be inlined to have them.
#[inline(always)]
pub(super) fn widely<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
