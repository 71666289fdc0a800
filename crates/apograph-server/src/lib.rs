//! Apograph over HTTP: routes, tokens, problems, streams.
