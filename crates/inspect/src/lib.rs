//! Bytes to packet facts and flows.
