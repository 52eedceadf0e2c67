/*
 * The filter misbehaving on request: `Fault` in the adapter's parameters names a play.
 *
 * A mark, `caught: PLAY by RULE`, ends the line that the report must name; `overdue: PLAY by RULE`
 * is told in the end, `soon: PLAY by RULE` by the first seeds of stress. `tests/c_filter.rs` reads the
 * marks here, in `hang.c` and in `library_fault.c`, and plays them all. A marked function is not inlined, and `stay` comes behind its call: the
 * report shows the frame only then.
 */
#include "fault.h"

struct play {
	const WCHAR *name;
	void (*attach)(MODULE *module);
	void (*detach)(MODULE *module);
	void (*send)(MODULE *module, NET_BUFFER_LIST *lists);
	void (*work)(MODULE *module);
	/* Reads what a METHOD_NEITHER request brings; the status that it ends with. */
	NTSTATUS (*request)(IRP *irp);
	/* Answers a METHOD_BUFFERED request. */
	NTSTATUS (*buffered)(IRP *irp);
};

UCHAR *block(void)
{
	UCHAR *bytes = ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE, FILTER_TAG);

	if (!bytes)
		KeBugCheckEx(0xE2, 0, 0, 0, 0);
	return bytes;
}

NOINLINE static void pool_past(MODULE *module)
{
	volatile UCHAR *bytes = block();

	module->kept = (PVOID)bytes;
	bytes[SIZE + 8] = 1; /* caught: c-pool-past by mem-overrun */
	stay();
}

NOINLINE static void pool_freed(MODULE *module)
{
	volatile UCHAR *bytes = block();

	ExFreePoolWithTag((PVOID)bytes, FILTER_TAG);
	module->turn = bytes[0]; /* caught: c-pool-freed by mem-use-after-free */
	stay();
}

NOINLINE static void pool_twice(MODULE *module)
{
	UCHAR *bytes = block();

	module->kept = bytes;
	ExFreePoolWithTag(bytes, FILTER_TAG);
	ExFreePoolWithTag(bytes, FILTER_TAG); /* caught: c-pool-twice by mem-double-free */
	stay();
}

NOINLINE static void pool_left(MODULE *module)
{
	module->kept = ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE, FILTER_TAG); /* caught: c-pool-left by unload-pool-freed */
	stay();
}

NOINLINE static void null_read(MODULE *module)
{
	MODULE *volatile none = NULL;

	module->turn = none->turn; /* caught: c-null-read by null-check */
	stay();
}

NOINLINE static void divide(MODULE *module)
{
	volatile ULONG one = 1, zero = 0;

	module->turn = one / zero; /* caught: c-divide by lab-fault */
	stay();
}

NOINLINE static void raise_unhandled(MODULE *module)
{
	__try {
		ExRaiseStatus((NTSTATUS)0xE0000001); /* caught: c-raise by lab-fault */
		stay();
	} __except (module->turn) {
		module->turn = 2;
	}
}

NOINLINE static void null_declined(MODULE *module)
{
	MODULE *volatile none = NULL;

	__try {
		module->turn = none->turn; /* caught: c-null-declined by null-check */
		stay();
	} __except (module->turn) {
		module->turn = 2;
	}
}

/* Exception handling does not help against addresses of the system. */
NOINLINE static void freed_in_try(MODULE *module)
{
	volatile UCHAR *bytes = block();

	ExFreePoolWithTag((PVOID)bytes, FILTER_TAG);
	__try {
		module->turn = bytes[0]; /* caught: c-freed-in-try by mem-use-after-free */
		stay();
	} __except (1) {
		module->turn = 2;
	}
}

NOINLINE static void lock_twice(MODULE *module)
{
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	KeAcquireSpinLockAtDpcLevel(&module->lock); /* caught: c-lock-twice by lock-dpr */
	KeReleaseSpinLock(&module->lock, old);
}

NOINLINE static void wait_under_lock(MODULE *module)
{
	LARGE_INTEGER interval = { .QuadPart = ONE_SECOND };
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	KeDelayExecutionThread(KernelMode, FALSE, &interval); /* caught: c-wait-under-lock by event-wait-kernel */
	KeReleaseSpinLock(&module->lock, old);
}

#pragma code_seg(push, "PAGE")
NOINLINE static ULONG pageable(ULONG turn) { stay(); return turn + 1; } /* caught: c-paged-at-dispatch by mem-pageable-at-dispatch */
#pragma code_seg(pop)

NOINLINE static void paged_at_dispatch(MODULE *module)
{
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	module->turn = pageable(module->turn);
	KeReleaseSpinLock(&module->lock, old);
}

NOINLINE static void send_touched(MODULE *module, NET_BUFFER_LIST *lists)
{
	NdisFSendNetBufferListsComplete(module->handle, lists, 0);
	module->turn = (ULONG)lists->Status; /* caught: c-send-touched by nbl-no-touch-after-complete */
	stay();
}

NOINLINE static void timer_at_detach(MODULE *module)
{
	LARGE_INTEGER due = { .QuadPart = 60 * ONE_SECOND };

	NdisSetTimerObject(module->timer, due, 0, NULL);
	NdisFreeTimerObject(module->timer); /* caught: c-timer-freed-set by timer-free-idle */
	stay();
}

NOINLINE static void stack_smashed(MODULE *module)
{
	volatile UCHAR bytes[16];
	volatile ULONG end = sizeof(bytes) + 16;

	for (ULONG i = 0; i < end; i++)
		bytes[i] = 0x41;
	module->turn = bytes[0]; } /* caught: c-stack-smashed by lab-fault */

/* A pointer that does not point to the beginning of a function: control-flow guard refuses the call. */
NOINLINE static void call_astray(MODULE *module)
{
	void (*volatile astray)(MODULE *) = (void (*)(MODULE *))((UCHAR *)divide + 1);

	astray(module); /* caught: c-call-astray by lab-fault */
	stay();
}

NOINLINE static void spin(MODULE *module)
{
	module->turn++;
	for (;;) stay(); /* caught: c-spin by lab-no-hang */
}

NOINLINE static void block_at_dispatch(MODULE *module)
{
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	while (((volatile MODULE *)module)->lock) KeStallExecutionProcessor(50); /* caught: c-block-at-dispatch by dpc-time */
	KeReleaseSpinLock(&module->lock, old);
}

static UCHAR *input_of(IRP *irp)
{
	return irp->Tail.Overlay.CurrentStackLocation->Parameters.DeviceIoControl.Type3InputBuffer;
}

static volatile UCHAR seen;

/* The sender's memory may be gone at any time. */
NOINLINE static NTSTATUS user_no_try(IRP *irp)
{
	seen = *input_of(irp); /* caught: c-user-no-try by irp-user-try */
	stay();
	return STATUS_SUCCESS;
}

NOINLINE static NTSTATUS user_probe_no_try(IRP *irp)
{
	ProbeForRead(input_of(irp), 8, 1); /* caught: c-user-probe-no-try by irp-user-try */
	stay();
	return STATUS_SUCCESS;
}

NOINLINE static NTSTATUS user_after_try(IRP *irp)
{
	volatile UCHAR *input = input_of(irp);

	__try {
		ProbeForRead((PVOID)input, 8, 1);
		seen = input[0];
	} __except (1) {
		return STATUS_ACCESS_VIOLATION;
	}
	seen = input[1]; /* caught: c-user-after-try by irp-user-try */
	return STATUS_SUCCESS;
}

/* An address of the system's is read, and what is there would be told. */
NOINLINE static NTSTATUS user_unprobed(IRP *irp)
{
	volatile UCHAR *input = input_of(irp);

	__try {
		seen = *input; /* caught: c-user-unprobed by irp-user-probe */
	} __except (1) {
		return STATUS_ACCESS_VIOLATION;
	}
	return STATUS_SUCCESS;
}

NOINLINE static NTSTATUS user_lock_unprobed(IRP *irp)
{
	MDL *mdl = IoAllocateMdl(input_of(irp), 8, FALSE, FALSE, NULL);
	NTSTATUS status = STATUS_SUCCESS;

	if (!mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	__try {
		MmProbeAndLockPages(mdl, KernelMode, IoReadAccess); /* caught: c-user-lock-unprobed by irp-user-probe */
		MmUnlockPages(mdl);
	} __except (1) {
		status = STATUS_ACCESS_VIOLATION;
	}
	IoFreeMdl(mdl);
	return status;
}

/* The exception is one of those that the filter lets pass. */
NOINLINE static NTSTATUS user_declined(IRP *irp)
{
	volatile UCHAR *input = input_of(irp);

	__try {
		if (irp->RequestorMode != KernelMode)
			ProbeForRead((PVOID)input, 8, 1);
	} __except (1) {
		return STATUS_ACCESS_VIOLATION;
	}
	__try {
		seen = *input; /* caught: c-user-declined by irp-user-try */
	} __except (_exception_code() == 0xC0000094ul) {
		return STATUS_UNSUCCESSFUL;
	}
	return STATUS_SUCCESS;
}

NOINLINE static NTSTATUS user_at_dispatch(IRP *irp)
{
	volatile UCHAR *input = input_of(irp);
	KIRQL old = KfRaiseIrql(DISPATCH_LEVEL);

	__try {
		seen = *input; /* caught: c-user-at-dispatch by mem-pageable-at-dispatch */
	} __except (1) {
		seen = 0;
	}
	KeLowerIrql(old);
	return STATUS_SUCCESS;
}

NOINLINE static void touch_elsewhere(MODULE *module)
{
	__try {
		seen = *(volatile UCHAR *)module->kept; /* caught: c-user-elsewhere by irp-user-context */
	} __except (1) {
		seen = 0;
	}
}

static MODULE *last_module;

/* What the sender has is not there for a thread of another process. */
static void user_elsewhere_work(MODULE *module)
{
	last_module = module;
	if (module->kept)
		touch_elsewhere(module);
}

static NTSTATUS user_elsewhere(IRP *irp)
{
	LARGE_INTEGER interval = { .QuadPart = ONE_SECOND };

	if (!last_module)
		return STATUS_UNSUCCESSFUL;
	last_module->kept = input_of(irp);
	module_defer(last_module);
	KeDelayExecutionThread(KernelMode, FALSE, &interval);
	return STATUS_SUCCESS;
}

static UCHAR *kept_input;

/* The sender may have put something else there when its request has ended. */
NOINLINE static void touch_kept(void)
{
	__try {
		seen = *(volatile UCHAR *)kept_input; /* caught: c-user-kept by irp-user-context */
	} __except (1) {
		seen = 0;
	}
}

static NTSTATUS user_kept(IRP *irp)
{
	if (kept_input)
		touch_kept();
	kept_input = input_of(irp);
	return STATUS_SUCCESS;
}

NOINLINE static void probe_kept(void)
{
	__try {
		ProbeForRead(kept_input, 1, 1); /* caught: c-user-probed-late by irp-user-context */
	} __except (1) {
		seen = 0;
	}
}

static NTSTATUS user_probed_late(IRP *irp)
{
	if (kept_input)
		probe_kept();
	kept_input = input_of(irp);
	return STATUS_SUCCESS;
}

/* It asks to read, and writes. */
NOINLINE static void write_what_is_read(UCHAR *mapped)
{
	*(volatile UCHAR *)mapped = 1; /* caught: c-user-written-read-only by mdl-write-access */
	stay();
}

static NTSTATUS user_written_read_only(IRP *irp)
{
	NTSTATUS status = STATUS_SUCCESS;
	MDL *mdl = IoAllocateMdl(input_of(irp), 1, FALSE, FALSE, NULL);
	UCHAR *mapped;

	if (!mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	__try {
		MmProbeAndLockPages(mdl, irp->RequestorMode, IoReadAccess);
	} __except (1) {
		status = STATUS_ACCESS_VIOLATION;
	}
	if (status == STATUS_SUCCESS) {
		mapped = mdl_address(mdl);
		if (mapped && (ULONG64)mapped != (ULONG64)input_of(irp))
			write_what_is_read(mapped);
		MmUnlockPages(mdl);
	}
	IoFreeMdl(mdl);
	return status;
}

/* What `ASSERT` of the WDK's headers does in checked builds. */
NOINLINE static void assert_wrong(MODULE *module)
{
	if (module->busy)
		RtlAssert("!module->busy", "fault.c", __LINE__, NULL); /* caught: c-assert by debug-break */
	stay();
}

/* It is still in the queue, which has a cancel routine for it. */
NOINLINE static NTSTATUS csq_completed_queued(IRP *irp)
{
	queue_request(irp);
	irp->IoStatus.Status = STATUS_SUCCESS;
	irp->IoStatus.Information = 0;
	IofCompleteRequest(irp, IO_NO_INCREMENT); /* caught: c-csq-completed-queued by irp-cancel-cleared */
	stay();
	return STATUS_PENDING;
}

/* What the queue no longer has, nobody else has either. */
NOINLINE static NTSTATUS csq_completed_twice(IRP *irp)
{
	queue_request(irp);
	if (queue_take() == irp) {
		request_end(irp, STATUS_SUCCESS, 0);
		IofCompleteRequest(irp, IO_NO_INCREMENT); /* caught: c-csq-completed-twice by irp-complete-once */
		stay();
	}
	return STATUS_PENDING;
}

/* Taken out, and given to nobody. */
static NTSTATUS csq_lost(IRP *irp)
{
	queue_request(irp);
	queue_take(); /* overdue: c-csq-lost by irp-complete-once */
	return STATUS_PENDING;
}

static const struct play plays[] = {
	{ .name = L"c-pool-past", .attach = pool_past },
	{ .name = L"c-pool-freed", .work = pool_freed },
	{ .name = L"c-pool-twice", .attach = pool_twice },
	{ .name = L"c-pool-left", .attach = pool_left },
	{ .name = L"c-null-read", .work = null_read },
	{ .name = L"c-divide", .work = divide },
	{ .name = L"c-raise", .work = raise_unhandled },
	{ .name = L"c-null-declined", .work = null_declined },
	{ .name = L"c-freed-in-try", .work = freed_in_try },
	{ .name = L"c-lock-twice", .work = lock_twice },
	{ .name = L"c-wait-under-lock", .work = wait_under_lock },
	{ .name = L"c-paged-at-dispatch", .work = paged_at_dispatch },
	{ .name = L"c-send-touched", .send = send_touched },
	{ .name = L"c-timer-freed-set", .detach = timer_at_detach },
	{ .name = L"c-stack-smashed", .attach = stack_smashed },
	{ .name = L"c-call-astray", .work = call_astray },
	{ .name = L"c-spin", .work = spin },
	{ .name = L"c-sleep", .attach = sleep_for_ever },
	{ .name = L"c-sleep-in-work", .work = sleep_in_work },
	{ .name = L"c-sleep-at-detach", .detach = sleep_at_detach },
	{ .name = L"c-timer-soon", .attach = set_soon, .detach = cancel_soon },
	{ .name = L"c-thread-left", .attach = thread_left },
	{ .name = L"c-thread-spins", .attach = thread_spins },
	{ .name = L"c-thread-waited-for", .detach = thread_waited_for },
	{ .name = L"c-block-at-dispatch", .work = block_at_dispatch },
	{ .name = L"c-csq-completed-queued", .buffered = csq_completed_queued },
	{ .name = L"c-csq-completed-twice", .buffered = csq_completed_twice },
	{ .name = L"c-csq-lost", .buffered = csq_lost },
	{ .name = L"c-user-no-try", .request = user_no_try },
	{ .name = L"c-user-probe-no-try", .request = user_probe_no_try },
	{ .name = L"c-user-after-try", .request = user_after_try },
	{ .name = L"c-user-unprobed", .request = user_unprobed },
	{ .name = L"c-user-lock-unprobed", .request = user_lock_unprobed },
	{ .name = L"c-user-declined", .request = user_declined },
	{ .name = L"c-user-at-dispatch", .request = user_at_dispatch },
	{ .name = L"c-user-elsewhere", .request = user_elsewhere, .work = user_elsewhere_work },
	{ .name = L"c-user-kept", .request = user_kept },
	{ .name = L"c-user-probed-late", .request = user_probed_late },
	{ .name = L"c-user-written-read-only", .request = user_written_read_only },
	{ .name = L"c-assert", .work = assert_wrong },
	{ .name = L"c-text-unterminated", .work = text_unterminated },
	{ .name = L"c-text-past", .work = text_past },
	{ .name = L"c-text-wild", .work = text_wild },
	{ .name = L"c-sid-null", .work = sid_null },
	{ .name = L"c-acl-at-dispatch", .work = acl_at_dispatch },
	{ .name = L"c-hash-left", .work = hash_left },
	{ .name = L"c-hash-twice", .work = hash_twice },
	{ .name = L"c-sort-past", .work = sort_past },
};

static const struct play *chosen;

/*
 * What a send costs more than it need, for measurements, for each packet, as the parameters say: so many rounds, and so
 * many calls that are the lab's and not ours.
 */
static ULONG rounds, calls;

static void dawdle(NET_BUFFER_LIST *lists)
{
	for (; lists; lists = lists->Next) {
		for (ULONG i = 0; i < rounds; i++)
			__asm__ volatile("pxor %%xmm0, %%xmm0" ::: "xmm0");
		for (ULONG i = 0; i < calls; i++)
			KeQueryPerformanceCounter(NULL);
	}
}

static ULONG number(NDIS_HANDLE configuration, const WCHAR *name)
{
	NDIS_CONFIGURATION_PARAMETER *parameter;
	UNICODE_STRING keyword;
	NDIS_STATUS status;

	RtlInitUnicodeString(&keyword, name);
	NdisReadConfiguration(&status, &parameter, configuration, &keyword, NdisParameterInteger);
	return status == NDIS_STATUS_SUCCESS ? parameter->ParameterData.IntegerData : 0;
}

/* The play that the adapter's parameters name, if any. */
static const struct play *choose(NDIS_HANDLE handle)
{
	NDIS_CONFIGURATION_OBJECT object = { 0 };
	NDIS_CONFIGURATION_PARAMETER *parameter;
	UNICODE_STRING keyword, name;
	NDIS_HANDLE configuration;
	const struct play *found = NULL;
	NDIS_STATUS status;

	object.Header.Type = NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT;
	object.Header.Revision = NDIS_CONFIGURATION_OBJECT_REVISION_1;
	object.Header.Size = NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1;
	object.NdisHandle = handle;
	if (NdisOpenConfigurationEx(&object, &configuration) != NDIS_STATUS_SUCCESS)
		return NULL;
	RtlInitUnicodeString(&keyword, L"Fault");
	NdisReadConfiguration(&status, &parameter, configuration, &keyword, NdisParameterString);
	for (ULONG i = 0; status == NDIS_STATUS_SUCCESS && i < sizeof(plays) / sizeof(*plays); i++) {
		RtlInitUnicodeString(&name, plays[i].name);
		if (RtlEqualUnicodeString(&name, &parameter->ParameterData.StringData, FALSE))
			found = &plays[i];
	}
	rounds = number(configuration, L"Rounds");
	calls = number(configuration, L"Calls");
	NdisCloseConfiguration(configuration);
	return found;
}

void play_begin(void)
{
}

void play_end(void)
{
}

void play_attach(MODULE *module)
{
	chosen = choose(module->handle);
	if (chosen && chosen->attach)
		chosen->attach(module);
}

void play_detach(MODULE *module)
{
	if (chosen && chosen->detach)
		chosen->detach(module);
}

void play_send(MODULE *module, NET_BUFFER_LIST *lists)
{
	if (chosen && chosen->send)
		chosen->send(module, lists);
	dawdle(lists);
}

void play_work(MODULE *module)
{
	if (chosen && chosen->work)
		chosen->work(module);
}

NTSTATUS play_request(IRP *irp)
{
	IO_STACK_LOCATION *location = irp->Tail.Overlay.CurrentStackLocation;
	ULONG method = location->Parameters.DeviceIoControl.IoControlCode & 3;

	if (chosen && chosen->buffered && method == METHOD_BUFFERED)
		return chosen->buffered(irp);
	if (chosen && chosen->request && method == METHOD_NEITHER)
		return request_end(irp, chosen->request(irp), 0);
	return user_request(irp);
}
