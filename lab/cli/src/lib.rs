//! The lwf-lab command, and the library that tests use.
