//! Attention: each position looks back at those before it (Vaswani and others, arXiv 1706.03762), with several query
//! heads for each key head (arXiv 2305.13245).

use std::ops::Range;

use super::cache::{LayerCache, PANEL};
use super::config::Config;
use super::vector::{softmax, widened};

/// Queries that share one look at the cache.
const TILE: usize = 4;

/// Room for the values between the steps.
#[derive(Default)]
pub(super) struct Looks {
    /// Part after part, those of all queries of a tile.
    parts: Vec<f32>,
    /// Query after query, those of all positions.
    scores: Vec<f32>,
}

/// One query of a tile.
#[derive(Clone, Copy)]
struct Query {
    /// Where its head begins among the queries, and among the results.
    place: usize,
    /// The positions that it sees.
    start: usize,
    end: usize,
}

/// What each position in `queries` takes from the positions in the cache up to itself, at most from the `reach` last ones
/// of these; the queries belong to the last positions of the cache.
#[inline(always)]
pub(super) fn attend(
    config: &Config,
    reach: Option<usize>,
    queries: &[f32],
    cache: &LayerCache,
    out: &mut Vec<f32>,
    room: &mut Looks,
) {
    let width = config.heads * config.head;
    let group = config.heads / config.kv_heads;
    let rows = queries.len() / width * group;
    let before = cache.len() - queries.len() / width;
    let scale = config.query_scale();
    out.clear();
    out.resize(queries.len(), 0.0);
    for shared in 0..config.kv_heads {
        let query = |row: usize| {
            let end = before + row / group + 1;
            let place = row / group * width + (shared * group + row % group) * config.head;
            Query { place, start: reach.map_or(0, |reach| end.saturating_sub(reach)), end }
        };
        for first in (0..rows).step_by(TILE) {
            // What is too much of the last tile is the last query again.
            let at = |n: usize| query((first + n).min(rows - 1));
            match rows - first {
                1 => tile(cache, shared, [at(0)], scale, queries, out, room),
                2 => tile(cache, shared, [at(0), at(1)], scale, queries, out, room),
                _ => tile(cache, shared, [at(0), at(1), at(2), at(3)], scale, queries, out, room),
            }
        }
    }
}

/// Queries in the order of their positions, all of heads that share a key.
#[inline(always)]
fn tile<const N: usize>(
    cache: &LayerCache,
    shared: usize,
    tile: [Query; N],
    scale: f32,
    queries: &[f32],
    out: &mut [f32],
    room: &mut Looks,
) {
    let head = cache.parts();
    let panels = tile[0].start / PANEL..tile[N - 1].end.div_ceil(PANEL);
    let (skipped, seen) = (panels.start * PANEL, panels.len() * PANEL);
    room.parts.resize(head * N, 0.0);
    room.scores.resize(seen * N, 0.0);
    for (n, query) in tile.iter().enumerate() {
        for (part, value) in queries[query.place..][..head].iter().enumerate() {
            room.parts[part * N + n] = value * scale;
        }
    }
    look::<N>(cache, shared, panels.clone(), &room.parts, &mut room.scores);
    for (query, scores) in tile.iter().zip(room.scores.chunks_exact_mut(seen)) {
        let (start, end) = (query.start - skipped, query.end - skipped);
        scores[..start].fill(0.0);
        softmax(&mut scores[start..end]);
        scores[end..].fill(0.0);
    }
    for chunk in 0..head.div_ceil(PANEL) {
        let sums = take::<N>(cache, (shared, chunk), panels.clone(), &room.scores);
        let parts = PANEL.min(head - chunk * PANEL);
        for (query, sums) in tile.iter().zip(sums) {
            out[query.place + chunk * PANEL..][..parts].copy_from_slice(&sums[..parts]);
        }
    }
}

/// The products of `N` queries with all keys of the panels. Plain loops: what is called through a closure loses the
/// registers.
#[inline(always)]
fn look<const N: usize>(cache: &LayerCache, shared: usize, panels: Range<usize>, parts: &[f32], scores: &mut [f32]) {
    let seen = panels.len() * PANEL;
    let (parts, _) = parts.as_chunks::<N>();
    for (place, panel) in panels.enumerate() {
        let mut sums = [[0.0f32; PANEL]; N];
        for (keys, parts) in cache.keys(panel, shared).iter().zip(parts) {
            let keys = widened(keys);
            for n in 0..N {
                for lane in 0..PANEL {
                    sums[n][lane] = parts[n].mul_add(keys[lane], sums[n][lane]);
                }
            }
        }
        for (n, sums) in sums.iter().enumerate() {
            scores[n * seen + place * PANEL..][..PANEL].copy_from_slice(sums);
        }
    }
}

/// The sums of some parts of all values of the panels, as `N` queries share them out.
#[inline(always)]
fn take<const N: usize>(
    cache: &LayerCache,
    (shared, chunk): (usize, usize),
    panels: Range<usize>,
    shares: &[f32],
) -> [[f32; PANEL]; N] {
    let seen = panels.len() * PANEL;
    let mut sums = [[0.0f32; PANEL]; N];
    for (at, panel) in panels.enumerate() {
        let mut here = [[0.0; PANEL]; N];
        for n in 0..N {
            here[n].copy_from_slice(&shares[n * seen + at * PANEL..][..PANEL]);
        }
        for (place, values) in cache.values(panel, shared, chunk).iter().enumerate() {
            let values = widened(values);
            for n in 0..N {
                for lane in 0..PANEL {
                    sums[n][lane] = here[n][place].mul_add(values[lane], sums[n][lane]);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests;
