//! HTTP requests and answers of Apograph as types, and the client that speaks them.
