//! Bytes of a PE image to a validated image plan.
