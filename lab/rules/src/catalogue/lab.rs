//! What the lab demands beyond single pages.

super::rules! {
    LAB:
    LAB_FAULT = "lab-fault": BugCheck Must,
        name None, stop None, page "debugger/bug-check-0x7e--system-thread-exception-not-handled.md",
        "The driver does nothing that the processor refuses.";
    LAB_HOLD_LIMIT = "lab-hold-limit": Hang Derived,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "No more packets of one direction of an adapter wait than were said to (only with --hold-limit).";
    LAB_NBL_OOB_INTACT = "lab-nbl-oob-intact": Corruption Derived,
        name None, stop None, page "network/net-buffer-list-structure.md",
        "A filter that only passes a foreign NBL on leaves its out-of-band data as it is.";
    LAB_NO_HANG = "lab-no-hang": Hang Derived,
        name None, stop None, page "kernel/system-worker-threads.md",
        "What the driver is called for comes to an end.";
    LAB_PACKET_ONCE = "lab-packet-once": Corruption Derived,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "A packet that the filter was given leaves once at most, itself or as a copy (only with --ordered).";
    LAB_PACKETS_IN_ORDER = "lab-packets-in-order": Corruption Derived,
        name None, stop None, page "network/sending-data-from-a-filter-driver.md",
        "Packets of one direction leave in the order in which the filter was given them (only with --ordered).";
    LAB_POISON_IN_ANSWER = "lab-poison-in-answer": Corruption Must,
        name None, stop None, page "kernel/failure-to-initialize-output-buffers.md",
        "What a driver returns to who asked it was written by it: no memory leaves as it was allocated.";
    LAB_POISON_IN_FRAME = "lab-poison-in-frame": Corruption Derived,
        name None, stop None, page "ddi wdm/nf-wdm-exallocatepooluninitialized.md",
        "What a driver sends or indicates was written: no memory leaves as it was allocated.";
    LAB_STACK_DEPTH = "lab-stack-depth": Style Derived,
        name None, stop None, page "kernel/using-the-kernel-stack.md",
        "A driver's call chain leaves more than half of the kernel stack of 24 KiB to the drivers that it calls.";
    LAB_STACK_OVERFLOW = "lab-stack-overflow": BugCheck Must,
        name None, stop None, page "kernel/using-the-kernel-stack.md",
        "A driver's call chain fits into the kernel stack of 24 KiB.";
}
