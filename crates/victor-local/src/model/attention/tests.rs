use super::*;
use crate::model::{Family, Rope};

fn config(heads: usize, kv_heads: usize, head: usize) -> Config {
    Config {
        family: Family::Llama,
        layers: 1,
        width: 1,
        hidden: 1,
        heads,
        kv_heads,
        head,
        window: 100,
        epsilon: 0.0,
        rope: Rope::Halves,
        rope_base: 1.0,
        rope_dims: head,
        rope_scale: 1.0,
        sliding: None,
    }
}

/// Numbers from -1 to 1 that 16 bits can hold.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let number = |i: usize| ((i + seed) * 7919 % 129) as f32 / 64.0 - 1.0;
    (0..count).map(number).collect()
}

/// The same, written down as the papers have it.
fn plainly(config: &Config, reach: usize, queries: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
    let (head, width, kv_width) = (config.head, config.heads * config.head, config.kv_width());
    let before = keys.len() / kv_width - queries.len() / width;
    let mut out = Vec::new();
    for (i, query) in queries.chunks_exact(head).enumerate() {
        let shared = i % config.heads / (config.heads / config.kv_heads) * head;
        let end = before + i / config.heads + 1;
        let part = |all: &[f32], position: usize| all[position * kv_width + shared..][..head].to_vec();
        let seen = end.saturating_sub(reach)..end;
        let product = |position| part(keys, position).iter().zip(query).map(|(k, q)| k * q).sum::<f32>();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let odds: Vec<f32> = seen.clone().map(|position| (product(position) / (head as f32).sqrt()).exp()).collect();
        let mut sums = vec![0.0; head];
        for (position, odds_of) in seen.zip(&odds) {
            let share = odds_of / odds.iter().sum::<f32>();
            sums.iter_mut().zip(part(values, position)).for_each(|(sum, value)| *sum += share * value);
        }
        out.extend(sums);
    }
    out
}

#[test]
fn a_look_back_is_that_of_the_formula_however_positions_come_and_are_forgotten() {
    for (heads, kv_heads, head) in [(1, 1, 16), (3, 1, 32), (4, 2, 20), (14, 2, 8)] {
        let config = config(heads, kv_heads, head);
        let kv_width = config.kv_width();
        let (keys, values) = (numbers(50 * kv_width, 1), numbers(50 * kv_width, 40));
        let queries = numbers(50 * heads * head, 99);
        for reach in [None, Some(1), Some(17)] {
            let mut cache = LayerCache::new(&config);
            let (mut out, mut room) = (Vec::new(), Looks::default());
            for (from, to) in [(0, 1), (1, 6), (6, 37), (30, 31), (31, 50)] {
                cache = cache.first(from);
                let new = from * kv_width..to * kv_width;
                cache.push(&keys[new.clone()], &values[new]);
                let queries = &queries[from * heads * head..to * heads * head];
                attend(&config, reach, queries, &cache, &mut out, &mut room);
                let seen = ..to * kv_width;
                let expected = plainly(&config, reach.unwrap_or(100), queries, &keys[seen], &values[seen]);
                for (a, b) in out.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-5, "{heads} heads, {from} to {to}, {reach:?}: {a} for {b}");
                }
            }
        }
    }
}
