/*
 * Requests to the filter's own device: each waits in a cancel-safe queue until a timer of the ExAllocateTimer family
 * completes it, or its sender cancels it.
 */
#include "filter.h"

/* How long a request waits, in units of 100 ns. */
#define WAIT 1000

static IO_CSQ queue;
static KSPIN_LOCK lock;
/* Under the lock: requests, oldest first. */
static LIST_ENTRY requests;
static PVOID timer;

static void insert(IO_CSQ *csq, IRP *irp)
{
	LIST_ENTRY *entry = &irp->Tail.Overlay.ListEntry;

	(void)csq;
	entry->Flink = &requests;
	entry->Blink = requests.Blink;
	requests.Blink->Flink = entry;
	requests.Blink = entry;
}

static void remove(IO_CSQ *csq, IRP *irp)
{
	LIST_ENTRY *entry = &irp->Tail.Overlay.ListEntry;

	(void)csq;
	entry->Blink->Flink = entry->Flink;
	entry->Flink->Blink = entry->Blink;
}

static IRP *peek(IO_CSQ *csq, IRP *irp, PVOID context)
{
	LIST_ENTRY *next = irp ? irp->Tail.Overlay.ListEntry.Flink : requests.Flink;

	(void)csq;
	(void)context;
	if (next == &requests)
		return NULL;
	return (IRP *)((UCHAR *)next - __builtin_offsetof(IRP, Tail.Overlay.ListEntry));
}

static void acquire(IO_CSQ *csq, KIRQL *irql)
{
	(void)csq;
	*irql = KeAcquireSpinLockRaiseToDpc(&lock);
}

static void release(IO_CSQ *csq, KIRQL irql)
{
	(void)csq;
	KeReleaseSpinLock(&lock, irql);
}

static NTSTATUS complete(IRP *irp, NTSTATUS status)
{
	/* Wherever this runs, that is still known, if it came from a thread. */
	if (irp->Tail.Overlay.Thread && !IoGetRequestorProcessId(irp))
		KeBugCheckEx(0xDEAD, 92, (ULONG64)irp, 0, 0);
	return request_end(irp, status, 0);
}

static void cancelled(IO_CSQ *csq, IRP *irp)
{
	(void)csq;
	complete(irp, STATUS_CANCELLED);
}

/* EXT_CALLBACK: all that wait are done. */
static void expired(PVOID object, PVOID context)
{
	IRP *irp;

	(void)object;
	while ((irp = IoCsqRemoveNextIrp(context, NULL)))
		complete(irp, STATUS_SUCCESS);
}

/* At load; without memory for a timer requests are done at once. */
void queue_begin(void)
{
	requests.Flink = requests.Blink = &requests;
	KeInitializeSpinLock(&lock);
	IoCsqInitialize(&queue, insert, remove, peek, acquire, release, cancelled);
	timer = ExAllocateTimer(expired, &queue, 0);
}

/* A request to the device: gives what its dispatch routine returns. */
NTSTATUS queue_request(IRP *irp)
{
	if (!timer)
		return complete(irp, STATUS_SUCCESS);
	IoCsqInsertIrp(&queue, irp, NULL);
	ExSetTimer(timer, -WAIT, 0, NULL);
	return STATUS_PENDING;
}

/* Takes the oldest out, if any waits; it is the caller's then. */
IRP *queue_take(void)
{
	return IoCsqRemoveNextIrp(&queue, NULL);
}

/* When nobody can send a request any more. */
void queue_end(void)
{
	if (timer)
		ExDeleteTimer(timer, TRUE, TRUE, NULL);
}
