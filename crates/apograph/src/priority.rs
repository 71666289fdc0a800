//! Threads whose work nobody waits for at every step.

/// So much nicer than the others: about a third of the share of a thread that somebody waits for, when both want the same
/// processor.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;
/// The system knows nothing nicer.
#[cfg(target_os = "linux")]
const NICE_MAX: i32 = 19;

/// From now on this thread gets the processor after those that somebody waits for, on systems where threads have priorities
/// of their own. It is not starved.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        // Of this thread: the server may have been started with another priority than usual.
        let nicer = |nice: i32| setpriority_process(None, (nice + NICER).min(NICE_MAX));
        if let Err(error) = getpriority_process(None).and_then(nicer) {
            tracing::debug!(%error, "a thread keeps the priority of all threads");
        }
    }
}
