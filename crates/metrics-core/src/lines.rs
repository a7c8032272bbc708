//! Between cells and the forms in which they are exposed.

use crate::exemplar::Slot;

/// Takes where one series stands. Exemplars may be fewer than the samples that they go with.
#[doc(hidden)]
pub trait Lines {
    fn integer(&mut self, value: u64, exemplars: &[Slot]);

    fn float(&mut self, value: f64, exemplars: &[Slot]);

    /// Ascending upper bounds without infinity, what is in each bucket (not up to it) by its index, one above the bounds
    /// included, and the sum.
    fn buckets(
        &mut self,
        bounds: &[f64],
        in_bucket: &mut dyn FnMut(usize) -> u64,
        sum: f64,
        exemplars: &[Slot],
    );

    /// Quantiles (0 to 1) with their values, the sum of all observations and their number.
    fn quantiles(&mut self, quantiles: &[(f64, f64)], sum: f64, count: u64);

    /// Whether each state is on, by its index; the names are asked for where they are not known.
    fn states(&mut self, count: usize, name: &dyn Fn(usize) -> String, is_on: &dyn Fn(usize) -> bool);
}
