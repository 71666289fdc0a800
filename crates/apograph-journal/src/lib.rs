//! Append-only files of journal entries: append, read, recover, verify, list, erase.
