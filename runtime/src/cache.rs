//! Keys and values of the tokens of one text, for the layers of prelude and coda, and for every loop and layer of the
//! core.

#![forbid(unsafe_code)]

use std::sync::Arc;

pub(crate) use crate::kernels::attention::TILE;

/// Sizes of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// Number of layers of prelude and coda.
    pub outer: usize,
    /// Number of layers of the core.
    pub layers: usize,
    /// Number of loops whose keys and values are kept.
    pub loops: usize,
    /// Number of key and value heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl CacheShape {
    /// Return the slot of a layer of the core in a loop; both are counted from 0.
    pub fn looped(&self, loop_index: usize, layer: usize) -> Slot {
        assert!(loop_index < self.loops && layer < self.layers);
        Slot(self.outer + loop_index * self.layers + layer)
    }

    /// Return the slot of a layer of the prelude, or after those of the coda.
    pub fn outer(&self, layer: usize) -> Slot {
        assert!(layer < self.outer);
        Slot(layer)
    }

    fn slots(&self) -> usize {
        self.outer + self.loops * self.layers
    }
}

/// Keys and values of consecutive positions.
///
/// Memory is reserved for all positions, and used only for those that are written.
#[derive(Debug)]
pub struct KeyValues {
    shape: CacheShape,
    /// Number of positions, a multiple of [`TILE`].
    capacity: usize,
    length: usize,
    /// `[slot][head]`, each with the keys `[capacity / TILE][head_dim][TILE]` and the values
    /// `[capacity][head_dim]`.
    data: Vec<f32>,
}

impl KeyValues {
    /// Create an empty cache for this many positions.
    pub fn new(shape: CacheShape, positions: usize) -> Self {
        let capacity = positions.next_multiple_of(TILE);
        let size = shape.slots() * shape.heads * 2 * capacity * shape.head_dim;
        KeyValues { shape, capacity, length: 0, data: vec![0.0; size] }
    }

    /// Number of positions that are complete.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no position is complete.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes of the positions that are complete.
    pub fn bytes(&self) -> usize {
        let shape = self.shape;
        shape.slots() * shape.heads * 2 * self.length * shape.head_dim * std::mem::size_of::<f32>()
    }

    /// Return the keys, in tiles `[capacity / TILE][head_dim][TILE]`, and the values, `[capacity][head_dim]`.
    pub fn head(&self, slot: Slot, head: usize) -> (&[f32], &[f32]) {
        let start = self.start(slot, head);
        let half = self.capacity * self.shape.head_dim;
        (&self.data[start..start + half], &self.data[start + half..start + 2 * half])
    }

    /// Write key and value of a position, `[heads][head_dim]` each.
    pub fn write(&mut self, slot: Slot, position: usize, keys: &[f32], values: &[f32]) {
        let dim = self.shape.head_dim;
        assert!(position < self.capacity, "the cache has room for the position");
        for (head, (key, value)) in keys.chunks_exact(dim).zip(values.chunks_exact(dim)).enumerate() {
            let start = self.start(slot, head);
            let tile = start + position / TILE * dim * TILE + position % TILE;
            for (index, number) in key.iter().enumerate() {
                self.data[tile + index * TILE] = *number;
            }
            let start = start + self.capacity * dim + position * dim;
            self.data[start..start + dim].copy_from_slice(value);
        }
    }

    /// Copy a position of one loop into a deeper one, in all layers of the core.
    pub fn copy_loop(&mut self, position: usize, from: usize, to: usize) {
        let dim = self.shape.head_dim;
        for layer in 0..self.shape.layers {
            for head in 0..self.shape.heads {
                let source = self.start(self.shape.looped(from, layer), head);
                let target = self.start(self.shape.looped(to, layer), head);
                let key = position / TILE * dim * TILE + position % TILE;
                for index in 0..dim {
                    self.data[target + key + index * TILE] = self.data[source + key + index * TILE];
                }
                let value = self.capacity * dim + position * dim;
                self.data.copy_within(source + value..source + value + dim, target + value);
            }
        }
    }

    fn start(&self, slot: Slot, head: usize) -> usize {
        let CacheShape { heads, head_dim, .. } = self.shape;
        assert!(slot.0 < self.shape.slots() && head < heads);
        (slot.0 * heads + head) * 2 * self.capacity * head_dim
    }
}

/// Place of a layer's keys and values: prelude, coda, then the core of each loop. See [`CacheShape`].
#[derive(Clone, Copy, Debug)]
pub struct Slot(usize);

/// Cache of one text, whose first positions may be shared with other texts.
#[derive(Debug)]
pub struct Sequence {
    prefix: Option<Arc<KeyValues>>,
    own: KeyValues,
}

impl Sequence {
    /// Create an empty cache for this many positions.
    pub fn new(shape: CacheShape, positions: usize) -> Self {
        Sequence { prefix: None, own: KeyValues::new(shape, positions) }
    }

    /// Create a cache that begins with a prefix, with room for this many more positions.
    pub fn after(prefix: Arc<KeyValues>, positions: usize) -> Self {
        let own = KeyValues::new(prefix.shape, positions);
        Sequence { prefix: Some(prefix), own }
    }

    /// Return the keys and values, to share them; `None` if they have a prefix themselves.
    pub fn into_prefix(self) -> Option<Arc<KeyValues>> {
        self.prefix.is_none().then(|| Arc::new(self.own))
    }

    /// Number of positions that are complete.
    pub fn len(&self) -> usize {
        self.prefix_len() + self.own.length
    }

    /// Whether no position is complete.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The prefix and the own positions.
    pub fn parts(&self) -> (Option<&KeyValues>, &KeyValues) {
        (self.prefix.as_deref(), &self.own)
    }

    /// Write key and value of a position that is not in the prefix.
    pub fn write(&mut self, slot: Slot, position: usize, keys: &[f32], values: &[f32]) {
        let position = position - self.prefix_len();
        self.own.write(slot, position, keys, values);
    }

    /// Copy a position that is not in the prefix from one loop into a deeper one.
    pub fn copy_loop(&mut self, position: usize, from: usize, to: usize) {
        let position = position - self.prefix_len();
        self.own.copy_loop(position, from, to);
    }

    /// Declare the next positions complete.
    pub fn advance(&mut self, positions: usize) {
        self.own.length += positions;
        assert!(self.own.length <= self.own.capacity, "the cache has room for the positions");
    }

    fn prefix_len(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.length)
    }
}
