//! The wide registers of x86 processors, through `pulp`, which finds out at run time what there is.

use pulp::x86::{V3, V4};
use pulp::{Simd, WithSimd, f32x8, f32x16, i8x16, i8x32, i16x16, i16x32};

use super::super::q8::{BLOCK, Work};
use super::Vectors;

/// What this processor has.
#[derive(Clone, Copy)]
pub(crate) enum Processor {
    /// AVX2.
    V3(V3),
    /// AVX-512.
    V4(V4),
}

impl Processor {
    /// The widest registers; `None` where there are none of these.
    pub(crate) fn find() -> Option<Self> {
        V4::try_new().map(Self::V4).or_else(|| V3::try_new().map(Self::V3))
    }

    /// Runs a part of a product.
    pub(crate) fn run(self, work: Work<'_>) {
        match self {
            Self::V3(vectors) => Simd::vectorize(vectors, With { vectors, work }),
            Self::V4(vectors) => Simd::vectorize(vectors, With { vectors, work }),
        }
    }
}

struct With<'a, V> {
    vectors: V,
    work: Work<'a>,
}

impl<V: Vectors> WithSimd for With<'_, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.work.run(self.vectors);
    }
}

impl Vectors for V4 {
    type Sum = f32x16;
    type Wide = i16x32;

    #[inline(always)]
    fn zero(self) -> f32x16 {
        self.splat_f32x16(0.0)
    }

    #[inline(always)]
    fn widen(self, weights: &[i8; BLOCK]) -> i16x32 {
        self.convert_i8x32_to_i16x32(pulp::cast::<_, i8x32>(*weights))
    }

    #[inline(always)]
    fn add(self, sum: f32x16, weights: i16x32, values: &[i16; BLOCK], factor: f32) -> f32x16 {
        let products = self.multiply_wrapping_add_adjacent_i16x32(weights, pulp::cast::<_, i16x32>(*values));
        self.mul_add_f32x16(self.convert_i32x16_to_f32x16(products), self.splat_f32x16(factor), sum)
    }

    #[inline(always)]
    fn sum(self, sum: f32x16) -> f32 {
        self.reduce_sum_f32s(sum)
    }
}

impl Vectors for V3 {
    type Sum = f32x8;
    type Wide = [i16x16; 2];

    #[inline(always)]
    fn zero(self) -> f32x8 {
        self.splat_f32x8(0.0)
    }

    #[inline(always)]
    fn widen(self, weights: &[i8; BLOCK]) -> [i16x16; 2] {
        pulp::cast::<_, [i8x16; 2]>(*weights).map(|half| self.convert_i8x16_to_i16x16(half))
    }

    #[inline(always)]
    fn add(self, sum: f32x8, weights: [i16x16; 2], values: &[i16; BLOCK], factor: f32) -> f32x8 {
        let [low, high] = pulp::cast::<_, [i16x16; 2]>(*values);
        let low = self.multiply_wrapping_add_adjacent_i16x16(weights[0], low);
        let high = self.multiply_wrapping_add_adjacent_i16x16(weights[1], high);
        let products = pulp::cast(self.wrapping_add_u32x8(pulp::cast(low), pulp::cast(high)));
        self.mul_add_f32x8(self.convert_i32x8_to_f32x8(products), self.splat_f32x8(factor), sum)
    }

    #[inline(always)]
    fn sum(self, sum: f32x8) -> f32 {
        self.reduce_sum_f32s(sum)
    }
}
