//! Rotary position embedding: the parts of a head, turned by their position (Su and others, arXiv 2104.09864).

use super::config::{Config, Rope};

/// The angles' speeds of a model.
pub(crate) struct Rotation {
    kind: Rope,
    head: usize,
    speeds: Vec<f32>,
    table: Vec<(f32, f32)>,
}

impl Rotation {
    /// The speeds of angles of this base, for positions that are scaled.
    pub(crate) fn new(config: &Config, base: f32, scale: f32) -> Self {
        let dims = config.rope_dims;
        let speed = |i: usize| {
            #[expect(clippy::cast_precision_loss, reason = "a head has a few hundred parts")]
            let exponent = (2 * i) as f32 / dims as f32;
            base.powf(-exponent) * scale
        };
        Self { kind: config.rope, head: config.head, speeds: (0..dims / 2).map(speed).collect(), table: Vec::new() }
    }

    /// Gets ready for `count` positions from `start` on.
    pub(crate) fn prepare(&mut self, start: usize, count: usize) {
        self.table.clear();
        for position in start..start + count {
            #[expect(clippy::cast_precision_loss, reason = "a window holds far fewer than 2^24 positions")]
            let position = position as f32;
            self.table.extend(self.speeds.iter().map(|speed| (position * speed).sin_cos()));
        }
    }

    /// Turns all heads in each of the prepared positions; `x` holds the positions one after the other.
    pub(crate) fn turn(&self, x: &mut [f32], width: usize) {
        let half = self.speeds.len();
        for (row, angles) in x.chunks_exact_mut(width).zip(self.table.chunks_exact(half)) {
            for head in row.chunks_exact_mut(self.head) {
                match self.kind {
                    Rope::Neighbours => turn_neighbours(head, angles),
                    Rope::Halves => turn_halves(head, angles),
                }
            }
        }
    }
}

fn turn_neighbours(head: &mut [f32], angles: &[(f32, f32)]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([a, b], (sin, cos)) in pairs.iter_mut().zip(angles) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

fn turn_halves(head: &mut [f32], angles: &[(f32, f32)]) {
    let (first, second) = head.split_at_mut(angles.len());
    for ((a, b), (sin, cos)) in first.iter_mut().zip(second).zip(angles) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}
