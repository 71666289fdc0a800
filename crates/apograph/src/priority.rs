//! Threads whose work nobody waits for at every step.

/// About a third of the share of a thread that somebody waits for, when both want the same processor.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// From now on this thread gets the processor after those that somebody waits for, on systems where threads have priorities
/// of their own. It is not starved.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread keeps the priority of all threads");
    }
}
