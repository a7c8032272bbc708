//! What the parts without locks are made of: the standard library's atomics and locks, or, under `cfg(loom)`, stand-ins
//! whose every interleaving `tests/loom.rs` goes through.
//!
//! loom has neither a `OnceLock` nor arc_swap. The `OnceLock` here is a flag and a lock of loom's around the standard
//! one, so that who sees the flag sees the value, as documented of the original. A slot of a list is a flag without any order
//! of its own: only what this crate does around it can make its content visible. The swap of a whole list is a lock there,
//! which is more order than arc_swap's.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(not(loom))]
pub(crate) use crate::cell::add;
#[cfg(loom)]
pub(crate) use modelled::{OnceLock, Slot, Swap, add};

/// Filled once and read often.
#[cfg(not(loom))]
pub(crate) type Slot<T> = arc_swap::ArcSwapOption<T>;
/// Replaced as a whole while others read what was there.
#[cfg(not(loom))]
pub(crate) type Swap<T> = arc_swap::ArcSwap<T>;

#[cfg(loom)]
mod modelled {
    //! What loom lacks.

    use std::sync::PoisonError;

    use super::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};

    pub(crate) fn add(cell: &AtomicU64, by: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + by).to_bits());
        cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).expect("there is always a sum");
    }

    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        setting: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                setting: Mutex::new(()),
                value: std::sync::OnceLock::new(),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.value.get().filter(|_| self.is_set.load(Ordering::Acquire))
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
            self.value.set(value)?;
            self.is_set.store(true, Ordering::Release);
            Ok(())
        }

        pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
            if self.get().is_none() {
                let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
                if self.value.get().is_none() {
                    self.value.get_or_init(value);
                    self.is_set.store(true, Ordering::Release);
                }
            }
            self.value.get().expect("it was set here or by whoever had the lock before")
        }
    }

    #[derive(Debug)]
    pub(crate) struct Slot<T> {
        is_full: AtomicBool,
        value: std::sync::OnceLock<Arc<T>>,
    }

    impl<T> Slot<T> {
        pub(crate) fn empty() -> Self {
            Self { is_full: AtomicBool::new(false), value: std::sync::OnceLock::new() }
        }

        pub(crate) fn store(&self, value: Option<Arc<T>>) {
            if let Some(value) = value {
                self.value.get_or_init(|| value);
                self.is_full.store(true, Ordering::Relaxed);
            }
        }

        pub(crate) fn load_full(&self) -> Option<Arc<T>> {
            self.load()
        }

        pub(crate) fn load(&self) -> Option<Arc<T>> {
            self.value.get().filter(|_| self.is_full.load(Ordering::Relaxed)).cloned()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Swap<T>(Mutex<Arc<T>>);

    impl<T: Default> Default for Swap<T> {
        fn default() -> Self {
            Self(Mutex::new(Arc::new(T::default())))
        }
    }

    impl<T> Swap<T> {
        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            drop(std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), value));
        }
    }
}
