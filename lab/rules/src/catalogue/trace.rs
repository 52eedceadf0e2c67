//! What is written to event tracing.

super::rules! {
    TRACE:
    TRACE_RECORD_SIZE = "trace-record-size": Style Must,
        name None, stop None, page "ddi wdm/nf-wdm-etwwrite.md",
        "An event or message has, with its header, at most 64 KiB: one that is longer is lost.";
    TRACE_DESCRIPTORS = "trace-descriptors": Style Must,
        name None, stop None, page "ddi wdm/nf-wdm-etwwrite.md",
        "An event has at most 128 data descriptors: one that has more is refused.";
}
