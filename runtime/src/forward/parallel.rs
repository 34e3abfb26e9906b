//! Writing the rows of one slice from several threads.

use std::sync::{Mutex, PoisonError};

use crate::pool::Pool;

/// Number of floats below which a computation on rows is not shared among threads.
const SMALL: usize = 1 << 15;

/// Call `write(row, values)` for each row of `width` values, shared among the threads if there is enough to do.
pub fn for_rows(pool: &Pool, values: &mut [f32], width: usize, write: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    if pool.threads() == 1 || values.len() < SMALL {
        values.chunks_exact_mut(width).enumerate().for_each(|(row, values)| write(row, values));
        return;
    }
    let rows = values.len() / width;
    let block = rows.div_ceil(4 * pool.threads());
    let blocks: Vec<_> = values.chunks_mut(block * width).map(Mutex::new).collect();
    pool.run(blocks.len(), &|index| {
        let mut part = blocks[index].lock().unwrap_or_else(PoisonError::into_inner);
        for (place, values) in part.chunks_exact_mut(width).enumerate() {
            write(index * block + place, values);
        }
    });
}

/// Call `write(part, values)` for consecutive parts of different lengths, shared among the threads.
pub fn for_parts(pool: &Pool, values: &mut [f32], lengths: &[usize], write: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let mut rest = values;
    let mut parts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (part, after) = rest.split_at_mut(length);
        parts.push(Mutex::new(part));
        rest = after;
    }
    // Uncontended: each part has one writer.
    pool.run(parts.len(), &|index| write(index, &mut parts[index].lock().unwrap_or_else(PoisonError::into_inner)));
}
