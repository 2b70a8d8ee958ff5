//! Products with Q8_0 weights, the quantisation that files are turned into where theirs is slow: blocks of 32 whole
//! numbers of 8 bits and one scale (ggml, `block_q8_0`).

use half::f16;
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::simd::{Processor, Vectors};

/// Values in a block.
pub(super) const BLOCK: usize = 32;
/// A block in a file: the scale in 16 bits, then the values.
const BYTES: usize = 2 + BLOCK;
/// Rows of weights that lie together, each of them a lane of the sums.
pub(super) const LANES: usize = 16;
/// Values of a row that lie together.
const FOUR: usize = 4;
/// Rows of activations that share one look at the weights, where there are registers for so many.
const TILE: usize = 8;
/// And where there are fewer.
const SMALL_TILE: usize = 4;
/// Rows of weights that one thread takes at a time.
const ROWS: usize = 64;

/// The next four values of each of the rows.
pub(super) type Fours = [[u8; FOUR]; LANES];

/// Weights in groups of [`LANES`] rows: the first blocks of the rows, then their second ones, and so on, so that memory
/// is read in one stream. The values are 128 more than the file's, so that none is below zero.
pub(super) struct Q8 {
    cols: usize,
    values: Vec<[Fours; BLOCK / FOUR]>,
    scales: Vec<[f16; LANES]>,
    processor: Processor,
}

/// Rows of activations, quantised the same way.
#[derive(Default)]
pub(super) struct Activations {
    blocks: Vec<Block>,
}

/// A block of activations.
#[derive(Clone, Copy)]
struct Block {
    /// For each four values the first and the third, then the other two.
    pairs: [[[i16; 2]; 2]; BLOCK / FOUR],
    /// What the weights' 128 make too much, negative.
    start: i32,
    scale: f32,
}

impl Q8 {
    /// Takes the bytes of a file's tensor; `None` where this processor has no fast way, or rows are left over.
    pub(super) fn new(bytes: &[u8], cols: usize) -> Option<Self> {
        let processor = Processor::find()?;
        let (blocks, _) = bytes.as_chunks::<BYTES>();
        let row = cols / BLOCK;
        if row == 0 || !blocks.len().is_multiple_of(LANES * row) {
            return None;
        }
        let mut scales = Vec::with_capacity(blocks.len() / LANES);
        let mut values = Vec::with_capacity(blocks.len() / LANES);
        for group in blocks.chunks_exact(LANES * row) {
            for i in 0..row {
                let mut together = [[[0; FOUR]; LANES]; BLOCK / FOUR];
                let mut factors = [f16::ZERO; LANES];
                for lane in 0..LANES {
                    let [low, high, rest @ ..] = &group[lane * row + i];
                    factors[lane] = f16::from_le_bytes([*low, *high]);
                    for (four, values) in rest.as_chunks().0.iter().enumerate() {
                        together[four][lane] = values.map(|v| v ^ 0x80);
                    }
                }
                values.push(together);
                scales.push(factors);
            }
        }
        Some(Self { cols, values, scales, processor })
    }

    /// Multiplies each row of `x` and puts the products into `out`.
    pub(super) fn apply(&self, x: &Activations, out: &mut [f32], pool: Option<&ThreadPool>) {
        let blocks = self.cols / BLOCK;
        let rows = self.values.len() / blocks * LANES;
        let single = x.blocks.len() == blocks;
        match pool {
            None => self.part(&x.blocks, out, rows, 0),
            Some(pool) if single => pool.install(|| {
                out.par_chunks_mut(ROWS).enumerate().for_each(|(i, out)| {
                    let count = out.len();
                    self.part(&x.blocks, out, count, i * ROWS);
                });
            }),
            Some(pool) => pool.install(|| {
                let count = x.blocks.len() / blocks;
                let share = count.div_ceil(pool.current_num_threads()).next_multiple_of(TILE);
                out.par_chunks_mut(share * rows).zip(x.blocks.par_chunks(share * blocks)).for_each(|(out, x)| {
                    self.part(x, out, rows, 0);
                });
            }),
        }
    }

    /// Copies rows out.
    pub(super) fn pick(&self, rows: &[u32], out: &mut Vec<f32>) {
        let blocks = self.cols / BLOCK;
        out.clear();
        for row in rows {
            let (group, lane) = (*row as usize / LANES, *row as usize % LANES);
            for i in group * blocks..(group + 1) * blocks {
                let scale = self.scales[i][lane].to_f32();
                let values = self.values[i].iter().flat_map(|fours| fours[lane]);
                out.extend(values.map(|v| f32::from((v ^ 0x80).cast_signed()) * scale));
            }
        }
    }

    /// The products with `count` rows of weights from `first` on.
    fn part(&self, x: &[Block], out: &mut [f32], count: usize, first: usize) {
        self.processor.run(Work { weights: self, x, out, count, first });
    }
}

/// A part of a product.
pub(super) struct Work<'a> {
    weights: &'a Q8,
    x: &'a [Block],
    out: &'a mut [f32],
    count: usize,
    first: usize,
}

impl Work<'_> {
    /// Does it with these registers: group by group, as a group stays in the nearest cache of the processor.
    #[inline(always)]
    pub(super) fn run<V: Vectors>(self, vectors: V) {
        let blocks = self.weights.cols / BLOCK;
        for group in 0..self.count / LANES {
            let first = (self.first / LANES + group) * blocks;
            let weights = (&self.weights.values[first..first + blocks], &self.weights.scales[first..first + blocks]);
            let mut x = self.x;
            let mut at = group * LANES;
            while !x.is_empty() {
                let rows = match x.len() / blocks {
                    TILE.. if V::MANY => tile::<V, TILE>(vectors, weights, x, &mut self.out[at..], self.count),
                    SMALL_TILE.. => tile::<V, SMALL_TILE>(vectors, weights, x, &mut self.out[at..], self.count),
                    _ => tile::<V, 1>(vectors, weights, x, &mut self.out[at..], self.count),
                };
                x = &x[rows * blocks..];
                at += rows * self.count;
            }
        }
    }
}

/// A group of weights times the first `N` rows of activations; the sums go into `out`, where each row has `count`
/// places. Gives `N`. Plain loops: what is called through a closure loses the registers.
#[inline(always)]
fn tile<V: Vectors, const N: usize>(
    vectors: V,
    (weights, scales): (&[[Fours; BLOCK / FOUR]], &[[f16; LANES]]),
    x: &[Block],
    out: &mut [f32],
    count: usize,
) -> usize {
    let mut rows = [&x[..0]; N];
    for (n, row) in rows.iter_mut().enumerate() {
        *row = &x[n * weights.len()..][..weights.len()];
    }
    let mut sums = [vectors.zero(); N];
    for (i, (weights, scales)) in weights.iter().zip(scales).enumerate() {
        let mut products = [vectors.whole(0); N];
        for n in 0..N {
            products[n] = vectors.whole(rows[n][i].start);
        }
        for (four, weights) in weights.iter().enumerate() {
            let weights = vectors.widen(weights);
            for n in 0..N {
                products[n] = vectors.dot(products[n], weights, &rows[n][i].pairs[four]);
            }
        }
        let scales = vectors.halves(scales);
        for n in 0..N {
            sums[n] = vectors.add(sums[n], products[n], scales, rows[n][i].scale);
        }
    }
    for (n, sum) in sums.into_iter().enumerate() {
        out[n * count..][..LANES].copy_from_slice(&vectors.lanes(sum));
    }
    N
}

impl Activations {
    /// Quantises rows; a row is whole blocks.
    #[inline(always)]
    pub(super) fn set(&mut self, x: &[f32]) {
        let (blocks, _) = x.as_chunks::<BLOCK>();
        self.blocks.clear();
        for block in blocks {
            let mut tops = [0.0f32; LANES];
            for values in block.as_chunks::<LANES>().0 {
                for lane in 0..LANES {
                    let value = values[lane].abs();
                    tops[lane] = if value > tops[lane] { value } else { tops[lane] };
                }
            }
            let highest = tops.iter().fold(0.0, |highest, top| if *top > highest { *top } else { highest });
            let scale = highest / 127.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let mut values = [0; BLOCK];
            let mut sum = 0;
            for i in 0..BLOCK {
                values[i] = whole(block[i] * inverse);
                sum += i32::from(values[i]);
            }
            let mut pairs = [[[0; 2]; 2]; BLOCK / FOUR];
            for (pairs, [a, b, c, d]) in pairs.iter_mut().zip(values.as_chunks().0) {
                *pairs = [[*a, *c], [*b, *d]];
            }
            // As exact as the files' own scales, so that products are those of other engines.
            let scale = f16::from_f32(scale).to_f32();
            self.blocks.push(Block { pairs, start: -128 * sum, scale });
        }
    }
}

/// The nearest whole number of a small one.
#[expect(clippy::cast_possible_truncation, reason = "the number is in the last bits")]
#[inline(always)]
fn whole(value: f32) -> i16 {
    // Above 2^23 a number has no places behind the point, so what is added here rounds, and the last bits count.
    const ROUND: f32 = 12_582_912.0;
    ((value + ROUND).to_bits() as u16).cast_signed()
}

#[cfg(test)]
mod tests;
