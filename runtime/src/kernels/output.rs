//! An output matrix of which threads write different columns.

use std::marker::PhantomData;

/// Row-major `[rows][width]` output that several threads write at once.
pub(crate) struct Columns<'a> {
    start: *mut f32,
    rows: usize,
    width: usize,
    marker: PhantomData<&'a mut [f32]>,
}

// SAFETY: `store` is the only access, and its contract excludes that two threads write the same element.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// # Panics
    ///
    /// The length of `values` is not `rows * width`.
    pub(crate) fn new(values: &'a mut [f32], rows: usize, width: usize) -> Self {
        assert_eq!(values.len(), rows * width, "the output must have rows * width elements");
        Columns { start: values.as_mut_ptr(), rows, width, marker: PhantomData }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Write `values` to a row from column `first` on. Values beyond the width are dropped.
    ///
    /// # Safety
    ///
    /// While several threads share this object, no two of them write the same columns.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, row: usize, first: usize, values: &[f32]) {
        assert!(row < self.rows && first <= self.width);
        let count = values.len().min(self.width - first);
        // SAFETY: the elements are within the slice of `new` (asserted), which this object borrows exclusively;
        // the caller ensures that no other thread writes them.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(row * self.width + first), count) }
    }
}
