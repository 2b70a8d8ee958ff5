//! Attention: each position looks back at those before it (Vaswani and others, arXiv 1706.03762), with several query
//! heads for each key head (arXiv 2305.13245).

use super::cache::LayerCache;
use super::config::Config;
use super::vector::{add_scaled, dot, softmax};

/// What each position in `queries` takes from the positions in the cache up to itself; the queries belong to the last
/// positions of the cache.
#[inline(always)]
pub(super) fn attend(config: &Config, queries: &[f32], cache: &LayerCache, out: &mut Vec<f32>, scores: &mut Vec<f32>) {
    let (head, kv_width) = (config.head, config.kv_width());
    let width = config.heads * head;
    let count = queries.len() / width;
    let before = cache.keys.len() / kv_width - count;
    let group = config.heads / config.kv_heads;
    #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred parts")]
    let scale = 1.0 / (head as f32).sqrt();
    out.clear();
    out.resize(queries.len(), 0.0);
    for (i, (query, out)) in queries.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let seen = (before + i + 1) * kv_width;
        let heads = query.chunks_exact(head).zip(out.chunks_exact_mut(head));
        for (h, (query, out)) in heads.enumerate() {
            let place = h / group * head;
            scores.clear();
            for key in cache.keys[..seen].chunks_exact(kv_width) {
                scores.push(dot(query, &key[place..place + head]) * scale);
            }
            softmax(scores);
            for (value, share) in cache.values[..seen].chunks_exact(kv_width).zip(scores.iter()) {
                add_scaled(out, &value[place..place + head], *share);
            }
        }
    }
}
