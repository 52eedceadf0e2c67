//! The NT kernel and NDIS stack that a filter lives in.
