//! Many simulations on few cores: as many at once as there are cores in the whole process, however
//! many threads ask, and the results in the order of the plans.

use crate::unit::{self, UnitPlan, UnitRun};
use ravelin_sim::SimError;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What a simulation came to.
pub type Ended = Result<UnitRun, SimError>;

/// Runs every plan, side by side where there are cores, and `meanwhile` on this thread. The order
/// of the results is that of the plans, whichever ends first.
///
/// Every plan is dropped when its simulation has ended: a channel whose senders are in the plans'
/// `step` ends with the last of them.
pub fn run_all(plans: Vec<UnitPlan>, meanwhile: impl FnOnce()) -> Vec<Ended> {
    in_order(plans, &unit::run, meanwhile)
}

/// How many simulations run at once at most.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The same for any kind of job.
pub fn in_order<T: Send, R: Send>(
    jobs: Vec<T>,
    run: &(dyn Fn(T) -> R + Sync),
    meanwhile: impl FnOnce(),
) -> Vec<R> {
    let workers = cores().min(jobs.len());
    let mut results: Vec<Option<thread::Result<R>>> = jobs.iter().map(|_| None).collect();
    let waiting: Mutex<VecDeque<_>> = Mutex::new(jobs.into_iter().zip(results.iter_mut()).collect());
    let work = || {
        loop {
            let next = locked(&waiting).pop_front();
            let Some((job, result)) = next else { return };
            let _slot = SLOTS.take();
            // A panic must not keep the jobs behind it from being run and dropped.
            *result = Some(catch_unwind(AssertUnwindSafe(|| run(job))));
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
        meanwhile();
    });
    drop(waiting);
    let ended = results.into_iter().map(|result| result.expect("the workers leave when no job is left"));
    ended.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
}

/// The free cores of this process, shared by all that run simulations in it.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

static SLOTS: LazyLock<Slots> = LazyLock::new(|| Slots { free: Mutex::new(cores()), freed: Condvar::new() });

impl Slots {
    /// Waits for a core. One that waits for another while it holds one could wait for ever: a job
    /// must not run jobs.
    fn take(&self) -> Slot<'_> {
        let free = locked(&self.free);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }
}

/// A core, given back when it is dropped.
struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *locked(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing behind these locks is ever half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Two callers side by side, as when seeds are run in parallel.
    #[test]
    fn no_more_jobs_than_cores_run_at_once_in_all_callers() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let job = |number: usize| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            for _ in 0..1_000 {
                thread::yield_now();
            }
            running.fetch_sub(1, Ordering::SeqCst);
            number * 10
        };
        let wanted: Vec<usize> = (0..40).map(|number| number * 10).collect();
        thread::scope(|scope| {
            let callers = [(); 2].map(|()| scope.spawn(|| in_order((0..40).collect(), &job, || {})));
            for caller in callers {
                assert_eq!(caller.join().expect("no job panics"), wanted, "in the order of the jobs");
            }
        });
        let most = most.into_inner();
        assert!((1..=cores()).contains(&most), "{most} at once on {} cores", cores());
    }

    #[test]
    fn a_panic_is_passed_on_after_the_other_jobs() {
        let done = AtomicUsize::new(0);
        let job = |number: usize| {
            assert!(number != 0, "the first one breaks a promise");
            done.fetch_add(1, Ordering::SeqCst);
        };
        let ended = catch_unwind(AssertUnwindSafe(|| in_order((0..9).collect(), &job, || {})));
        assert!(ended.is_err());
        assert_eq!(done.into_inner(), 8);
    }
}
