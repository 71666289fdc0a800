//! Who drives the worker of a database: a thread of its own, or whoever holds the database, step by step.
//!
//! Both drive the same turns ([`Worker::turn`]). Without threads nothing happens by itself, so that a simulation decides
//! what happens when.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SendError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::upkeep::{Upkeep, maintain_once};
use super::worker::{Command, Worker};
use super::{Database, QUEUE_MAX, Shared};

/// Who drives the databases of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    /// Threads of their own.
    Threads,
    /// Whoever calls [`Database::step`].
    Steps,
}

impl Drive {
    pub(super) fn has_threads(self) -> bool {
        self == Drive::Threads
    }
}

/// The worker of a database, and the way to it. Dropping it finishes what is in hand.
pub(super) struct Driven {
    pub(super) queue: SyncSender<Command>,
    shared: Arc<Shared>,
    by: Mutex<By>,
}

/// Who has the worker.
enum By {
    Thread(JoinHandle<()>),
    Steps(Box<Steps>),
    Nobody,
}

struct Steps {
    worker: Worker,
    commands: Receiver<Command>,
    /// Stores that could not be maintained.
    failing: Vec<bool>,
}

impl Driven {
    pub(super) fn start(shared: Arc<Shared>, worker: Worker, upkeep: Option<Upkeep>, drive: Drive) -> Driven {
        let (queue, commands) = mpsc::sync_channel(QUEUE_MAX);
        let by = match drive {
            Drive::Threads => {
                let thread = std::thread::Builder::new().name(format!("{} worker", shared.name));
                let handle = thread.spawn(move || {
                    worker.run(&commands);
                    drop(upkeep);
                });
                By::Thread(handle.expect("the operating system gives a thread at start"))
            }
            Drive::Steps => {
                let failing = vec![false; shared.stores.len()];
                By::Steps(Box::new(Steps { worker, commands, failing }))
            }
        };
        Driven { queue, shared, by: Mutex::new(by) }
    }

    /// Puts a command into the queue, however long that takes. Without threads it is done on return, and everything before
    /// it.
    pub(super) fn send_and_go_on(&self, command: Command) -> Result<(), SendError<Command>> {
        let sent = match self.with_steps(|steps| steps.turns(None)) {
            // The queue is empty now.
            Some(_) => self.queue.try_send(command).map_err(|error| match error {
                mpsc::TrySendError::Full(command) | mpsc::TrySendError::Disconnected(command) => {
                    SendError(command)
                }
            }),
            None => self.queue.send(command),
        };
        sent?;
        self.with_steps(|steps| steps.turns(None));
        Ok(())
    }

    /// Finishes what is in hand, makes it durable, and stops. Idempotent.
    pub(super) fn stop(&self) {
        let by = std::mem::replace(&mut *self.by.lock().unwrap_or_else(PoisonError::into_inner), By::Nobody);
        match by {
            By::Thread(handle) => {
                let _ = self.queue.send(Command::Stop);
                if handle.join().is_err() {
                    tracing::error!(database = %self.shared.name, "a thread of the database panicked");
                }
            }
            By::Steps(mut steps) => {
                let _ = steps.turns(None);
                steps.worker.finish();
            }
            By::Nobody => {}
        }
    }

    fn with_steps<T>(&self, with: impl FnOnce(&mut Steps) -> T) -> Option<T> {
        match &mut *self.by.lock().unwrap_or_else(PoisonError::into_inner) {
            By::Steps(steps) => Some(with(steps)),
            By::Thread(_) | By::Nobody => None,
        }
    }
}

impl Steps {
    /// At most so many turns for what waits; answers whether there were any.
    fn turns(&mut self, at_most: Option<usize>) -> bool {
        let mut turns = 0;
        while at_most.is_none_or(|most| turns < most) {
            let Ok(command) = self.commands.try_recv() else { break };
            turns += 1;
            if self.worker.turn(Ok(command), &self.commands) == ControlFlow::Break(()) {
                break;
            }
        }
        turns > 0
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Of a database that is [driven by steps](crate::Folder::driven_by_steps). With threads they do nothing, and answer
/// `false`.
impl Database {
    /// Does what waits for the worker: one command, and those behind it that share its sync. Answers whether anything did.
    pub fn step(&self) -> bool {
        self.driven.with_steps(|steps| steps.turns(Some(1))).unwrap_or(false)
    }

    /// Does what the worker does when nothing came for a quarter of a second: a checkpoint that is due, housekeeping.
    pub fn idle(&self) -> bool {
        let idle = |steps: &mut Steps| {
            steps.worker.turn(Err(RecvTimeoutError::Timeout), &steps.commands).is_continue()
        };
        self.driven.with_steps(idle).unwrap_or(false)
    }

    /// One bounded step of flushing and merging for every store; answers whether there is more to do.
    pub fn maintain(&self) -> bool {
        let maintain = |steps: &mut Steps| maintain_once(&self.shared.stores, &mut steps.failing);
        self.driven.with_steps(maintain).unwrap_or(false)
    }
}
