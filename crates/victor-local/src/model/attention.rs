//! Attention: each position looks back at those before it (Vaswani and others, arXiv 1706.03762), with several query
//! heads for each key head (arXiv 2305.13245).

use super::cache::LayerCache;
use super::config::Config;
use super::vector::{add_scaled, dot, softmax};

/// Positions whose keys or values are gone through by all queries before the next ones are: they stay in the nearest
/// cache of the processor.
const BLOCK: usize = 64;

/// What each position in `queries` takes from the positions in the cache up to itself, at most from the `reach` last ones
/// of these; the queries belong to the last positions of the cache.
#[expect(clippy::needless_range_loop, reason = "a position is a place in the cache and among the scores")]
#[inline(always)]
pub(super) fn attend(
    config: &Config,
    reach: Option<usize>,
    queries: &[f32],
    cache: &LayerCache,
    out: &mut Vec<f32>,
    scores: &mut Vec<f32>,
) {
    let (head, kv_width) = (config.head, config.kv_width());
    let width = config.heads * head;
    let total = cache.keys.len() / kv_width;
    let before = total - queries.len() / width;
    let group = config.heads / config.kv_heads;
    let scale = config.query_scale();
    let first = |i: usize| reach.map_or(0, |reach| (before + i + 1).saturating_sub(reach));
    out.clear();
    out.resize(queries.len(), 0.0);
    // Of each query and each head that shares a key: the odds of all positions.
    scores.resize(queries.len() / width * group * total, 0.0);
    for shared in 0..config.kv_heads {
        let heads = shared * group * head..(shared + 1) * group * head;
        let part = |position: usize| position * kv_width + shared * head..position * kv_width + (shared + 1) * head;
        for block in (0..total).step_by(BLOCK) {
            let rows = queries.chunks_exact(width).zip(scores.chunks_exact_mut(group * total));
            for (i, (query, scores)) in rows.enumerate() {
                let end = (block + BLOCK).min(before + i + 1);
                for (query, scores) in query[heads.clone()].chunks_exact(head).zip(scores.chunks_exact_mut(total)) {
                    for position in block.max(first(i))..end {
                        scores[position] = dot(query, &cache.keys[part(position)]) * scale;
                    }
                }
            }
        }
        for (i, scores) in scores.chunks_exact_mut(group * total).enumerate() {
            for scores in scores.chunks_exact_mut(total) {
                softmax(&mut scores[first(i)..before + i + 1]);
            }
        }
        for block in (0..total).step_by(BLOCK) {
            let rows = out.chunks_exact_mut(width).zip(scores.chunks_exact(group * total));
            for (i, (out, scores)) in rows.enumerate() {
                let end = (block + BLOCK).min(before + i + 1);
                for (out, scores) in out[heads.clone()].chunks_exact_mut(head).zip(scores.chunks_exact(total)) {
                    for position in block.max(first(i))..end {
                        add_scaled(out, &cache.values[part(position)], scores[position]);
                    }
                }
            }
        }
    }
}
