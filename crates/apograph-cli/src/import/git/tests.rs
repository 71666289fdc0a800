//! The plan against a model of the target and against git's own trees.

mod failures;
mod history;
mod merges;
mod model;
mod names;
mod random;
mod real;
mod renames;
mod resume;
