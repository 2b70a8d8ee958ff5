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
/// Rows of activations that share one look at a row of weights.
const TILE: usize = 4;
/// Rows of weights that one thread takes at a time.
const ROWS: usize = 64;

/// Weights, row after row.
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
    /// Takes the bytes of a file's tensor; `None` where this processor has no fast way.
    pub(super) fn new(bytes: &[u8], cols: usize) -> Option<Self> {
        let processor = Processor::find()?;
        let (blocks, _) = bytes.as_chunks::<BYTES>();
        let mut scales = Vec::with_capacity(blocks.len());
        let mut values = Vec::with_capacity(blocks.len());
        for [low, high, rest @ ..] in blocks {
            scales.push(f16::from_le_bytes([*low, *high]).to_f32());
            values.push(rest.map(u8::cast_signed));
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
            let start = *row as usize * blocks;
            let part = start..start + blocks;
            for (values, scale) in self.values[part.clone()].iter().zip(&self.scales[part]) {
                out.extend(values.iter().map(|v| f32::from(*v) * scale));
            }
        }
    }

    /// The values and scales of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> (&[[i8; BLOCK]], &[f32]) {
        let blocks = self.cols / BLOCK;
        let part = row * blocks..(row + 1) * blocks;
        (&self.values[part.clone()], &self.scales[part])
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
    /// Does it with these registers: by tiles, whose sums all stay in registers.
    #[inline(always)]
    pub(super) fn run<V: Vectors>(self, vectors: V) {
        let blocks = self.weights.cols / BLOCK;
        let tiles = self.values.chunks(TILE * blocks).zip(self.scales.chunks(TILE * blocks));
        for ((values, scales), out) in tiles.zip(self.out.chunks_mut(TILE * self.count)) {
            let rows = Rows { values, scales, blocks };
            match rows.values.len() / blocks {
                TILE => tile::<V, 2, TILE>(vectors, self.weights, rows, out, self.first),
                _ => {
                    for (i, out) in out.chunks_exact_mut(self.count).enumerate() {
                        tile::<V, TILE, 1>(vectors, self.weights, rows.at(i), out, self.first);
                    }
                }
            }
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

/// `N` rows of activations times all rows of weights from `first` on that `out` has room for, `R` at a time.
#[inline(always)]
fn tile<V: Vectors, const R: usize, const N: usize>(
    vectors: V,
    weights: &Q8,
    rows: Rows<'_>,
    out: &mut [f32],
    first: usize,
) {
    let count = out.len() / N;
    let mut tile = [rows.at(0); N];
    for n in 0..N {
        tile[n] = rows.at(n);
    }
    let mut at = 0;
    while at + R <= count {
        let mut some = [weights.row(first + at); R];
        for r in 0..R {
            some[r] = weights.row(first + at + r);
        }
        let sums = dots::<V, R, N>(vectors, some, tile);
        for r in 0..R {
            for n in 0..N {
                out[n * count + at + r] = sums[r][n];
            }
        }
        at += R;
    }
    for i in at..count {
        let sums = dots::<V, 1, N>(vectors, [weights.row(first + i)], tile);
        for n in 0..N {
            out[n * count + i] = sums[0][n];
        }
    }
}

/// Rows of weights times rows of activations. Plain loops: what is called through a closure loses the registers.
#[inline(always)]
fn dots<V: Vectors, const R: usize, const N: usize>(
    vectors: V,
    weights: [(&[[i8; BLOCK]], &[f32]); R],
    rows: [Rows<'_>; N],
) -> [[f32; N]; R] {
    let blocks = rows[0].blocks;
    let mut sums = [[vectors.zero(); N]; R];
    for i in 0..blocks {
        for r in 0..R {
            let wide = vectors.widen(&weights[r].0[i]);
            for n in 0..N {
                let factor = weights[r].1[i] * rows[n].scales[i];
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
