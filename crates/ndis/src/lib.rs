//! Safe wrappers over NDIS 6 for filter drivers.
