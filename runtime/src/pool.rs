//! Threads that share the parts of one computation and sleep between computations.
//!
//! The calling thread works too, and never waits for a thread that has not started: on a loaded machine it computes
//! all parts itself. A thread that finds no work spins for some microseconds, because the next matrix of a model
//! usually follows at once, and then sleeps until the next computation.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const OPEN: u64 = 1;
const ONE_THREAD: u64 = 2;
const GENERATION: u64 = 1 << 32;
const SPIN: Duration = Duration::from_micros(30);

/// A fixed number of threads, the calling one included.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held during a computation, so that a second caller computes alone.
    in_use: Mutex<()>,
}

struct Shared {
    /// Number of the computation (upper half), number of workers in it times 2, and 1 while more may enter.
    state: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    next_part: AtomicUsize,
    panicked: AtomicBool,
    stopping: AtomicBool,
    sleeping: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

struct Job<'a> {
    parts: usize,
    work: &'a (dyn Fn(usize) + Sync),
}

impl Pool {
    /// Create a pool of `threads` threads, at least one. With one, no thread is started.
    ///
    /// # Panics
    ///
    /// The operating system refuses to start a thread.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            next_part: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let workers = (1..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                let thread = thread::Builder::new().name(format!("nanochat-{number}"));
                thread.spawn(move || shared.serve()).expect("a thread can be started")
            })
            .collect();
        Pool { shared, workers, in_use: Mutex::new(()) }
    }

    /// Number of threads, the calling one included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Call `work` once with each number below `parts`, in any order and on any thread, and return when all are done.
    ///
    /// A call from within `work`, or from a second thread at the same time, computes on its own thread.
    ///
    /// # Panics
    ///
    /// `work` panics.
    pub fn run(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        let in_use = match self.in_use.try_lock() {
            Ok(guard) if parts > 1 && !self.workers.is_empty() => Some(guard),
            Err(std::sync::TryLockError::Poisoned(error)) if parts > 1 => Some(error.into_inner()),
            _ => None,
        };
        if in_use.is_none() {
            (0..parts).for_each(work);
            return;
        }
        let job = Job { parts, work };
        let shared = &*self.shared;
        // Workers use the pointer only between entering and leaving the computation, and this function does not
        // return or unwind before the last one has left, so the shorter lifetime is never exceeded.
        shared.job.store(std::ptr::from_ref(&job).cast::<Job<'static>>().cast_mut(), Ordering::Relaxed);
        shared.next_part.store(0, Ordering::Relaxed);
        let generation = (shared.state.load(Ordering::Relaxed) & !(GENERATION - 1)).wrapping_add(GENERATION);
        shared.state.store(generation | OPEN, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            drop(shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        let result = catch_unwind(AssertUnwindSafe(|| shared.take_parts(&job)));
        shared.state.fetch_and(!OPEN, Ordering::SeqCst);
        let mut rounds = 0u32;
        while shared.state.load(Ordering::Acquire) & (GENERATION - 1) != 0 {
            rounds = rounds.saturating_add(1);
            if rounds < 2000 {
                std::hint::spin_loop()
            } else {
                thread::yield_now()
            }
        }
        let worker_panicked = shared.panicked.swap(false, Ordering::Relaxed);
        drop(in_use);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        assert!(!worker_panicked, "a part of the computation panicked on another thread");
    }
}

impl Shared {
    fn take_parts(&self, job: &Job<'_>) {
        loop {
            let part = self.next_part.fetch_add(1, Ordering::Relaxed);
            if part >= job.parts {
                return;
            }
            (job.work)(part);
        }
    }

    /// Take part in computations until the pool is dropped.
    fn serve(&self) {
        let mut last = 0;
        while !self.stopping.load(Ordering::Acquire) {
            if !self.enter(&mut last) {
                self.wait(last);
                continue;
            }
            // SAFETY: the thread has entered the computation, so that `Pool::run`, which owns the job, waits until
            // the thread leaves below. The release store of `state` in `run` came after that of `job`.
            let job = unsafe { &*self.job.load(Ordering::Relaxed) };
            if catch_unwind(AssertUnwindSafe(|| self.take_parts(job))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(ONE_THREAD, Ordering::Release);
        }
    }

    /// Return whether a computation other than `last` is open.
    fn is_new(&self, state: u64, last: u64) -> bool {
        state & OPEN != 0 && state / GENERATION != last
    }

    /// Enter the computation that is open and not `last`, if there is one.
    fn enter(&self, last: &mut u64) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while self.is_new(state, *last) {
            match self.state.compare_exchange_weak(state, state + ONE_THREAD, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    *last = state / GENERATION;
                    return true;
                }
                Err(now) => state = now,
            }
        }
        false
    }

    /// Spin, then sleep, until there is a new computation or the pool is dropped.
    fn wait(&self, last: u64) {
        let is_done = || self.is_new(self.state.load(Ordering::SeqCst), last) || self.stopping.load(Ordering::SeqCst);
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..32 {
                if is_done() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        while !is_done() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its parts.
            worker.join().expect("a worker ends without a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_exactly_once_over_many_computations() {
        let rounds = if cfg!(miri) { 20 } else { 5000 };
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            for round in 0..rounds {
                let counts: Vec<AtomicUsize> = (0..round % 9).map(|_| AtomicUsize::new(0)).collect();
                pool.run(counts.len(), &|part| {
                    counts[part].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_still_works() {
        let pool = Pool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|part| assert!(part != 5))));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(4, &|part| {
            sum.fetch_add(part, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 6);
    }

    #[test]
    fn a_nested_computation_runs_on_its_own_thread() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(3, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            })
        });
        assert_eq!(sum.into_inner(), 12);
    }
}
