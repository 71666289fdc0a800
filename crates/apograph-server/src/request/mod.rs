//! From a request to values that cannot be wrong. After these gates nothing is checked again.

pub(crate) mod body;
pub(crate) mod json;
pub(crate) mod lent;
pub(crate) mod lines;
pub(crate) mod params;
pub(crate) mod path;
pub(crate) mod precondition;
pub(crate) mod range;
pub(crate) mod reading;
pub(crate) mod transaction;
