//! End-to-end tests on the real .sys files.
