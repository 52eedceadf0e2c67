//! Frame sources and sinks.
