//! The wide registers of x86 processors, through `pulp`, which finds out at run time what there is.

use std::arch::x86_64::{__m256i, __m512i};

use half::f16;
use pulp::x86::{V3, V4};
use pulp::{Simd, WithSimd, f32x8, f32x16};

use super::super::q8::{Fours, LANES, Work};
use super::super::vector::widened;
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
    const MANY: bool = true;
    type Floats = f32x16;
    type Wholes = __m512i;
    type Wide = [__m512i; 2];

    #[inline(always)]
    fn zero(self) -> f32x16 {
        self.splat_f32x16(0.0)
    }

    #[inline(always)]
    fn whole(self, number: i32) -> __m512i {
        self.avx512f._mm512_set1_epi32(number)
    }

    #[inline(always)]
    fn halves(self, numbers: &[f16; LANES]) -> f32x16 {
        pulp::cast(self.avx512f._mm512_cvtph_ps(pulp::cast(numbers.map(f16::to_bits))))
    }

    #[inline(always)]
    fn widen(self, weights: &Fours) -> [__m512i; 2] {
        let both = pulp::cast(*weights);
        let low = self.avx512f._mm512_and_si512(both, self.whole(0x00ff_00ff));
        [low, self.avx512bw._mm512_srli_epi16::<8>(both)]
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, weights: [__m512i; 2], values: &[[i16; 2]; 2]) -> __m512i {
        let low = self.avx512bw._mm512_madd_epi16(weights[0], self.whole(pulp::cast(values[0])));
        let high = self.avx512bw._mm512_madd_epi16(weights[1], self.whole(pulp::cast(values[1])));
        self.avx512f._mm512_add_epi32(self.avx512f._mm512_add_epi32(sum, low), high)
    }

    #[inline(always)]
    fn add(self, sum: f32x16, products: __m512i, scales: f32x16, factor: f32) -> f32x16 {
        let scales = self.mul_f32x16(scales, self.splat_f32x16(factor));
        self.mul_add_f32x16(self.convert_i32x16_to_f32x16(pulp::cast(products)), scales, sum)
    }

    #[inline(always)]
    fn lanes(self, sum: f32x16) -> [f32; LANES] {
        pulp::cast(sum)
    }
}

impl Vectors for V3 {
    const MANY: bool = false;
    type Floats = [f32x8; 2];
    type Wholes = [__m256i; 2];
    type Wide = [[__m256i; 2]; 2];

    #[inline(always)]
    fn zero(self) -> [f32x8; 2] {
        [self.splat_f32x8(0.0); 2]
    }

    #[inline(always)]
    fn whole(self, number: i32) -> [__m256i; 2] {
        [self.avx._mm256_set1_epi32(number); 2]
    }

    #[inline(always)]
    fn halves(self, numbers: &[f16; LANES]) -> [f32x8; 2] {
        pulp::cast(widened(numbers))
    }

    #[inline(always)]
    fn widen(self, weights: &Fours) -> [[__m256i; 2]; 2] {
        let [first, second] = pulp::cast::<_, [__m256i; 2]>(*weights);
        let mask = self.avx._mm256_set1_epi32(0x00ff_00ff);
        [
            [self.avx2._mm256_and_si256(first, mask), self.avx2._mm256_and_si256(second, mask)],
            [self.avx2._mm256_srli_epi16::<8>(first), self.avx2._mm256_srli_epi16::<8>(second)],
        ]
    }

    #[inline(always)]
    fn dot(self, sum: [__m256i; 2], weights: [[__m256i; 2]; 2], values: &[[i16; 2]; 2]) -> [__m256i; 2] {
        let mut sum = sum;
        for (weights, values) in weights.into_iter().zip(values) {
            let values = self.avx._mm256_set1_epi32(pulp::cast(*values));
            for (sum, weights) in sum.iter_mut().zip(weights) {
                *sum = self.avx2._mm256_add_epi32(*sum, self.avx2._mm256_madd_epi16(weights, values));
            }
        }
        sum
    }

    #[inline(always)]
    fn add(self, sum: [f32x8; 2], products: [__m256i; 2], scales: [f32x8; 2], factor: f32) -> [f32x8; 2] {
        let mut sum = sum;
        for (sum, (products, scales)) in sum.iter_mut().zip(products.into_iter().zip(scales)) {
            let scales = self.mul_f32x8(scales, self.splat_f32x8(factor));
            *sum = self.mul_add_f32x8(self.convert_i32x8_to_f32x8(pulp::cast(products)), scales, *sum);
        }
        sum
    }

    #[inline(always)]
    fn lanes(self, sum: [f32x8; 2]) -> [f32; LANES] {
        pulp::cast(sum)
    }
}
