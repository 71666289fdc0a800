//! The engine: databases, the committer, links. Embeddable, without HTTP.
