//! Raw NDIS 6 declarations under their C names.
