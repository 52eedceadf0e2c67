/*
 * Plays of `fault.c` that wait: for what never comes, for a thread that does not end, for a timer.
 */
#include "fault.h"

NOINLINE void sleep_for_ever(MODULE *module)
{
	KEVENT never;

	module->turn++;
	KeInitializeEvent(&never, NotificationEvent, FALSE);
	KeWaitForSingleObject(&never, Executive, KernelMode, FALSE, NULL); /* caught: c-sleep by lab-no-hang */
	stay();
}

NOINLINE void sleep_in_work(MODULE *module)
{
	LARGE_INTEGER interval = { .QuadPart = ONE_SECOND };

	for (module->turn = 1; module->turn; module->turn |= 1)
		KeDelayExecutionThread(KernelMode, FALSE, &interval); /* caught: c-sleep-in-work by wi-routine-short */
}

NOINLINE void sleep_at_detach(MODULE *module)
{
	KEVENT never;

	module->turn++;
	KeInitializeEvent(&never, NotificationEvent, FALSE);
	KeWaitForSingleObject(&never, Executive, KernelMode, FALSE, NULL); /* caught: c-sleep-at-detach by detach-time */
	stay();
}

static KEVENT nobody_sets;

/* KSTART_ROUTINEs. */
NOINLINE static void wait_in_thread(PVOID context)
{
	*(ULONG volatile *)context = 1;
	KeWaitForSingleObject(&nobody_sets, Executive, KernelMode, FALSE, NULL); /* caught: c-thread-left by unload-nothing-pending */
	PsTerminateSystemThread(STATUS_SUCCESS);
}

NOINLINE static void spin_in_thread(PVOID context)
{
	*(ULONG volatile *)context = 1;
	for (;;) stay(); /* caught: c-thread-spins by lab-no-hang */
}

static ULONG thread_runs;

static void start_thread(void (*routine)(PVOID), HANDLE *thread)
{
	OBJECT_ATTRIBUTES attributes = { 0 };

	attributes.Length = sizeof(attributes);
	attributes.Attributes = OBJ_KERNEL_HANDLE;
	KeInitializeEvent(&nobody_sets, NotificationEvent, FALSE);
	if (PsCreateSystemThread(thread, THREAD_ALL_ACCESS, &attributes, NULL, NULL, routine, &thread_runs) != STATUS_SUCCESS)
		KeBugCheckEx(0xE2, 0, 0, 0, 0);
}

NOINLINE void thread_left(MODULE *module)
{
	HANDLE thread;

	start_thread(wait_in_thread, &thread);
	ZwClose(thread);
	module->turn++;
}

NOINLINE void thread_spins(MODULE *module)
{
	HANDLE thread;

	start_thread(spin_in_thread, &thread);
	ZwClose(thread);
	module->turn++;
}

/* A detach that waits for a thread which does not end. */
NOINLINE void thread_waited_for(MODULE *module)
{
	PVOID object;
	HANDLE thread;

	start_thread(wait_in_thread, &thread);
	if (ObReferenceObjectByHandle(thread, SYNCHRONIZE, NULL, KernelMode, &object, NULL) != STATUS_SUCCESS)
		KeBugCheckEx(0xE2, 1, 0, 0, 0);
	ZwClose(thread);
	KeWaitForSingleObject(object, Executive, KernelMode, FALSE, NULL); /* caught: c-thread-waited-for by detach-time */
	ObfDereferenceObject(object);
	module->turn++;
}

static KTIMER soon;
static KDPC soon_dpc;

/* KDEFERRED_ROUTINE */
NOINLINE static void soon_expired(KDPC *dpc, PVOID context, PVOID first, PVOID second)
{
	MODULE *volatile none = NULL;

	(void)dpc;
	(void)first;
	(void)second;
	*(ULONG volatile *)context = none->turn; /* soon: c-timer-soon by null-check */
	stay();
}

void set_soon(MODULE *module)
{
	LARGE_INTEGER due = { .QuadPart = ONE_SECOND / 100 };

	KeInitializeTimer(&soon);
	KeInitializeDpc(&soon_dpc, soon_expired, &module->turn);
	KeSetTimer(&soon, due, &soon_dpc);
}

void cancel_soon(MODULE *module)
{
	(void)module;
	KeCancelTimer(&soon);
	KeFlushQueuedDpcs();
}
