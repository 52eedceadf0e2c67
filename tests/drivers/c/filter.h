/* A small lightweight filter in C: what its files share. */
#pragma once

#include <abi.h>

#define NULL ((void *)0)
#define TRUE 1
#define FALSE 0

/* Code that is gone after DriverEntry, and code that may be paged out. */
#define INIT_CODE __declspec(code_seg("INIT"))
#define PAGED_CODE_SECTION __declspec(code_seg("PAGE"))

#define NOINLINE __attribute__((noinline))

#define FILTER_TAG 'tliF'

/* A module: the filter on one adapter. */
typedef struct MODULE {
	NDIS_HANDLE handle;
	NDIS_HANDLE work_item;
	NDIS_HANDLE timer;
	KSPIN_LOCK lock;
	/* Under the lock: whether packets may pass, what is inside, what passed. */
	BOOLEAN open;
	BOOLEAN queued;
	ULONG inside;
	ULONG busy;
	ULONG64 sent;
	ULONG64 received;
	ULONG64 ticks;
	/* What a play keeps from one callback to the next. */
	PVOID kept;
	ULONG turn;
} MODULE;

/* The driver's handle, from FilterSetOptions on. */
extern NDIS_HANDLE filter_driver;

/* The driver object. */
extern DRIVER_OBJECT *filter_object;

/* Ask for a run of the work item, unless one waits already. Any level up to DISPATCH. */
void module_defer(MODULE *module);

/*
 * What a build puts in: `plain.c` does nothing that is not right, `fault.c` misbehaves on request.
 * When the device is there and before it goes; at the end of attach; at the beginning of detach, of a send and of a run of the work item.
 */
void play_begin(void);
void play_end(void);
void play_attach(MODULE *module);
void play_detach(MODULE *module);
void play_send(MODULE *module, NET_BUFFER_LIST *lists);
void play_work(MODULE *module);

/* A control request. */
NTSTATUS play_request(IRP *irp);

/* How the well-behaved filter answers one; how any request ends; what the pages of an MDL are mapped at. */
NTSTATUS user_request(IRP *irp);
NTSTATUS request_end(IRP *irp, NTSTATUS status, ULONG64 information);
UCHAR *mdl_address(MDL *mdl);
NDIS_HANDLE list_pool(void);

/* Stops the system where what a trial has found is not what its page says; the stop tells `more` as well. */
static inline void expect_telling(ULONG trial, ULONG64 is, ULONG64 must, ULONG64 more)
{
	if (is != must)
		KeBugCheckEx(0xDEAD, trial, is, must, more);
}

static inline void expect(ULONG trial, ULONG64 is, ULONG64 must)
{
	expect_telling(trial, is, must, 0);
}

/* Whether a call has worked; one that has not may only have been short of memory. */
static inline BOOLEAN worked(ULONG trial, NTSTATUS status)
{
	if (status != STATUS_INSUFFICIENT_RESOURCES)
		expect(trial, (ULONG)status, STATUS_SUCCESS);
	return status == STATUS_SUCCESS;
}

/* The same of one that must fail so. */
static inline BOOLEAN failed(ULONG trial, NTSTATUS status, NTSTATUS must)
{
	if (status != STATUS_INSUFFICIENT_RESOURCES)
		expect(trial, (ULONG)status, (ULONG)must);
	return status == must;
}

/* An object of this name, if it has one, below `root`, for a handle of the kernel's. */
static inline OBJECT_ATTRIBUTES attributes(HANDLE root, UNICODE_STRING *name, const WCHAR *text)
{
	OBJECT_ATTRIBUTES it = { 0 };

	it.Length = sizeof(it);
	it.RootDirectory = root;
	it.Attributes = OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE;
	if (text) {
		RtlInitUnicodeString(name, text);
		it.ObjectName = name;
	}
	return it;
}

/* Tries structured exception handling; the system stops where it is not as documented. */
void seh(MODULE *module);

/* Tries functions of the run-time library and of NDIS in the same way; and those of `system.c`, `store.c`, `security.c`,
 * `text.c`, `runtime.c` and `table.c`. */
void library(void);
void system_calls(void);
void store(void);
void security(void);
void text(void);
void runtime(void);
void tables(void);

/* Who may do what, for a request whose sender's thread runs it. */
void security_of_user(void);

/* The same of requests that the filter makes itself; and what its own devices for that are asked. */
void irps(void);
BOOLEAN irp_is_ours(DEVICE_OBJECT *device);
NTSTATUS irp_dispatch(DEVICE_OBJECT *device, IRP *irp);

/* The same of parameters, which NDIS reads as well: in attach. */
void store_parameters(void);

/* The driver's configuration, opened; NULL where there is no memory for that. */
NDIS_HANDLE driver_configuration(void);

/* The same of objects by handle and of what the I/O manager keeps; at load, in between, and before the device goes. */
void object_begin(DEVICE_OBJECT *device);
void objects(DEVICE_OBJECT *device);
void manager_calls(DEVICE_OBJECT *device);
void object_end(DEVICE_OBJECT *device);

/* A device that NDIS knows nothing of; NULL where there was no memory for it. */
extern DEVICE_OBJECT *filter_device;

/* And those of `kernel.c`, `memory.c`, `network.c` and `provider.c`. */
void kernel_calls(void);
void kernel_detach(void);
void memory_calls(void);
void network_calls(NDIS_HANDLE module);
void network_parameters(void);
void provider_calls(void);

/* Requests to the filter's own device, which wait for a while: at load, for each, and when the device is gone. */
void queue_begin(void);
NTSTATUS queue_request(IRP *irp);
IRP *queue_take(void);
void queue_end(void);
