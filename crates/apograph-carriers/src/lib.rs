//! Ways to move journals between servers: memory and stream, and one conformance suite for all.
