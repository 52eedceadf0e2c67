//! What the lab demands beyond single pages.

super::rules! {
    LAB:
    LAB_FAULT = "lab-fault": BugCheck Must,
        name None, stop None, page "debugger/bug-check-0x7e--system-thread-exception-not-handled.md",
        "The driver does nothing that the processor refuses.";
    LAB_NBL_OOB_INTACT = "lab-nbl-oob-intact": Corruption Derived,
        name None, stop None, page "network/net-buffer-list-structure.md",
        "A filter that only passes a foreign NBL on leaves its out-of-band data as it is.";
    LAB_NO_HANG = "lab-no-hang": Hang Derived,
        name None, stop None, page "kernel/system-worker-threads.md",
        "What the driver is called for comes to an end.";
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
