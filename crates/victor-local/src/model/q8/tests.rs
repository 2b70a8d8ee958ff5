use rayon::ThreadPoolBuilder;

use super::*;

const COLS: usize = 96;
const WEIGHTS: usize = 144;

/// Numbers from -1 to 1 that are always the same.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap()) / 32768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Weights as a file holds them.
fn bytes() -> Vec<u8> {
    let values = numbers(WEIGHTS * COLS, 3);
    let block = |block: &[f32; BLOCK]| {
        let scale = f16::from_f32(1.0 / 127.0);
        let values = block.map(|v| i8::try_from(whole(v * 127.0)).unwrap().cast_unsigned());
        [scale.to_le_bytes().to_vec(), values.to_vec()].concat()
    };
    values.as_chunks().0.iter().flat_map(block).collect()
}

fn product(weights: &Q8, x: &[f32], pool: Option<&ThreadPool>) -> Vec<f32> {
    let mut activations = Activations::default();
    activations.set(x);
    let mut out = vec![f32::NAN; x.len() / COLS * WEIGHTS];
    weights.apply(&activations, &mut out, pool);
    out
}

#[test]
fn products_are_those_of_the_plain_numbers_on_any_number_of_threads() {
    let Some(weights) = Q8::new(&bytes(), COLS) else { return };
    let mut plain = Vec::new();
    weights.pick(&(0..u32::try_from(WEIGHTS).unwrap()).collect::<Vec<_>>(), &mut plain);
    let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for rows in [1, 2, 4, 5, 9, 13] {
        let x = numbers(rows * COLS, 5);
        let out = product(&weights, &x, None);
        assert_eq!(out, product(&weights, &x, Some(&pool)), "{rows} rows on three threads");
        for (i, sum) in out.iter().enumerate() {
            let (x, w) = (&x[i / WEIGHTS * COLS..][..COLS], &plain[i % WEIGHTS * COLS..][..COLS]);
            let exact: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            assert!((sum - exact).abs() < 0.1, "{rows} rows, place {i}: {sum} for {exact}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn narrower_registers_give_the_same() {
    let Some(mut weights) = Q8::new(&bytes(), COLS) else { return };
    let x = numbers(14 * COLS, 9);
    let wide = product(&weights, &x, None);
    weights.processor = Processor::V3(pulp::x86::V3::try_new().unwrap());
    assert_eq!(wide, product(&weights, &x, None));
}

#[test]
fn rows_that_fill_no_group_are_left_to_another() {
    let short = (WEIGHTS - 1) * COLS / BLOCK * BYTES;
    assert!(Q8::new(&bytes()[..short], COLS).is_none());
}
