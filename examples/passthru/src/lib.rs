//! The smallest honest filter.
