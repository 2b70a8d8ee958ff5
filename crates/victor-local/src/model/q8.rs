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
/// Rows of weights that lie together, and rows of activations that share one look at them.
const TILE: usize = 4;
/// Rows of weights that one thread takes at a time.
const ROWS: usize = 64;

/// Weights in groups of [`TILE`] rows: the first blocks of the rows, then their second ones, and so on, so that memory is
/// read in one stream.
pub(super) struct Q8 {
    cols: usize,
    values: Vec<[i8; BLOCK]>,
    scales: Vec<f32>,
    processor: Processor,
}

/// Rows of activations, quantised the same way; the values are widened for the products.
#[derive(Default)]
pub(super) struct Activations {
    values: Vec<[i16; BLOCK]>,
    scales: Vec<f32>,
}

impl Q8 {
    /// Takes the bytes of a file's tensor; `None` where this processor has no fast way, or rows are left over.
    pub(super) fn new(bytes: &[u8], cols: usize) -> Option<Self> {
        let processor = Processor::find()?;
        let (blocks, _) = bytes.as_chunks::<BYTES>();
        let row = cols / BLOCK;
        if row == 0 || !blocks.len().is_multiple_of(TILE * row) {
            return None;
        }
        let mut scales = Vec::with_capacity(blocks.len());
        let mut values = Vec::with_capacity(blocks.len());
        for group in blocks.chunks_exact(TILE * row) {
            for i in 0..TILE * row {
                let [low, high, rest @ ..] = group[i % TILE * row + i / TILE];
                scales.push(f16::from_le_bytes([low, high]).to_f32());
                values.push(rest.map(u8::cast_signed));
            }
        }
        Some(Self { cols, values, scales, processor })
    }

    /// Multiplies each row of `x` and puts the products into `out`.
    pub(super) fn apply(&self, x: &Activations, out: &mut [f32], pool: Option<&ThreadPool>) {
        let blocks = self.cols / BLOCK;
        let rows = self.values.len() / blocks;
        let single = x.scales.len() == blocks;
        match pool {
            None => self.some(x, out, rows, 0),
            Some(pool) if single => pool.install(|| {
                out.par_chunks_mut(ROWS).enumerate().for_each(|(i, out)| {
                    let count = out.len();
                    self.some(x, out, count, i * ROWS);
                });
            }),
            Some(pool) => pool.install(|| {
                let (values, scales) = (x.values.par_chunks(TILE * blocks), x.scales.par_chunks(TILE * blocks));
                out.par_chunks_mut(TILE * rows).zip(values.zip(scales)).for_each(|(out, (values, scales))| {
                    self.part(values, scales, out, rows, 0);
                });
            }),
        }
    }

    /// Copies rows out.
    pub(super) fn pick(&self, rows: &[u32], out: &mut Vec<f32>) {
        let blocks = self.cols / BLOCK;
        out.clear();
        for row in rows {
            let row = *row as usize;
            let first = row / TILE * TILE * blocks + row % TILE;
            for i in (first..).step_by(TILE).take(blocks) {
                out.extend(self.values[i].iter().map(|v| f32::from(*v) * self.scales[i]));
            }
        }
    }

    /// The values and scales of a group of rows.
    #[inline(always)]
    fn group(&self, group: usize) -> (&[[[i8; BLOCK]; TILE]], &[[f32; TILE]]) {
        let length = self.cols / BLOCK * TILE;
        let part = group * length..(group + 1) * length;
        (self.values[part.clone()].as_chunks().0, self.scales[part].as_chunks().0)
    }

    fn some(&self, x: &Activations, out: &mut [f32], count: usize, first: usize) {
        self.part(&x.values, &x.scales, out, count, first);
    }

    /// The products with `count` rows of weights from `first` on.
    fn part(&self, values: &[[i16; BLOCK]], scales: &[f32], out: &mut [f32], count: usize, first: usize) {
        let work = Work { weights: self, values, scales, out, count, first };
        self.processor.run(work);
    }
}

/// What one thread does in one go.
pub(super) struct Work<'a> {
    weights: &'a Q8,
    values: &'a [[i16; BLOCK]],
    scales: &'a [f32],
    out: &'a mut [f32],
    count: usize,
    first: usize,
}

impl Work<'_> {
    /// Does it with these registers: group by group.
    #[inline(always)]
    pub(super) fn run<V: Vectors>(self, vectors: V) {
        let blocks = self.weights.cols / BLOCK;
        let tiles = self.values.chunks(TILE * blocks).zip(self.scales.chunks(TILE * blocks));
        for ((values, scales), out) in tiles.zip(self.out.chunks_mut(TILE * self.count)) {
            let rows = Rows { values, scales, blocks };
            for group in 0..self.count / TILE {
                let weights = self.weights.group(self.first / TILE + group);
                if rows.values.len() == TILE * blocks {
                    let tile = [rows.at(0), rows.at(1), rows.at(2), rows.at(3)];
                    // Half a group at a time: more sums do not stay in registers.
                    for half in [0, 2] {
                        let sums = dots::<V, 2, TILE>(vectors, weights, half, tile);
                        put(&sums, out, self.count, group * TILE + half);
                    }
                } else {
                    for (i, out) in out.chunks_exact_mut(self.count).enumerate() {
                        let sums = dots::<V, TILE, 1>(vectors, weights, 0, [rows.at(i)]);
                        put(&sums, out, self.count, group * TILE);
                    }
                }
            }
        }
    }
}

/// Puts sums of rows of weights from `at` on where they belong; each row of activations has `count` places.
#[inline(always)]
fn put<const R: usize, const N: usize>(sums: &[[f32; N]; R], out: &mut [f32], count: usize, at: usize) {
    for (r, sums) in sums.iter().enumerate() {
        for (n, sum) in sums.iter().enumerate() {
            out[n * count + at + r] = *sum;
        }
    }
}

/// Rows of activations.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [[i16; BLOCK]],
    scales: &'a [f32],
    blocks: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn at(self, i: usize) -> Rows<'a> {
        let part = i * self.blocks..(i + 1) * self.blocks;
        Self { values: &self.values[part.clone()], scales: &self.scales[part], blocks: self.blocks }
    }
}

/// `R` rows of a group of weights, from `first` on, times rows of activations. Plain loops: what is called through a
/// closure loses the registers.
#[inline(always)]
fn dots<V: Vectors, const R: usize, const N: usize>(
    vectors: V,
    (weights, scales): (&[[[i8; BLOCK]; TILE]], &[[f32; TILE]]),
    first: usize,
    rows: [Rows<'_>; N],
) -> [[f32; N]; R] {
    let mut sums = [[vectors.zero(); N]; R];
    for (i, (weights, scales)) in weights.iter().zip(scales).enumerate() {
        for r in 0..R {
            let wide = vectors.widen(&weights[first + r]);
            for n in 0..N {
                let factor = scales[first + r] * rows[n].scales[i];
                sums[r][n] = vectors.add(sums[r][n], wide, &rows[n].values[i], factor);
            }
        }
    }
    let mut out = [[0.0; N]; R];
    for r in 0..R {
        for n in 0..N {
            out[r][n] = vectors.sum(sums[r][n]);
        }
    }
    out
}

impl Activations {
    /// Quantises rows; a row is whole blocks.
    #[inline(always)]
    pub(super) fn set(&mut self, x: &[f32]) {
        let (blocks, _) = x.as_chunks::<BLOCK>();
        self.values.clear();
        self.scales.clear();
        for block in blocks {
            let mut highest = 0.0f32;
            for value in block {
                highest = highest.max(value.abs());
            }
            let scale = highest / 127.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let mut values = [0; BLOCK];
            for i in 0..BLOCK {
                values[i] = whole(block[i] * inverse);
            }
            self.values.push(values);
            // As exact as the files' own scales, so that products are those of other engines.
            self.scales.push(f16::from_f32(scale).to_f32());
        }
    }
}

/// The nearest whole number of a small one.
#[expect(clippy::cast_possible_truncation, reason = "the values lie between -127 and 127")]
#[inline(always)]
fn whole(value: f32) -> i16 {
    // Above 2^23 a number has no places behind the point, so adding and taking away rounds.
    const ROUND: f32 = 12_582_912.0;
    ((value + ROUND) - ROUND) as i16
}

#[cfg(test)]
mod tests;
