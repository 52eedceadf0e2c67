/*
 * Timers of the ExAllocateTimer family, the Windows Filtering Platform, and what older kits put into drivers inline:
 * tried against what their pages say. The driver stops the system where one differs.
 */
#include "filter.h"

/* EXT_CALLBACK. */
static void tick(PVOID timer, PVOID context)
{
	(void)timer;
	++*(volatile ULONG *)context;
}

NOINLINE static void timers(void)
{
	volatile ULONG ticks = 0;
	PVOID timer = ExAllocateTimer(tick, (PVOID)&ticks, EX_TIMER_NOTIFICATION);

	if (!timer)
		return;
	expect(200, ExSetTimer(timer, -1000, 0, NULL), FALSE);
	expect(201, (ULONG)KeWaitForSingleObject(timer, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
	expect(202, ExSetTimer(timer, -100000000, 0, NULL), FALSE);
	expect(203, ExSetTimer(timer, -100000000, 10000, NULL), TRUE);
	expect(204, ExCancelTimer(timer, NULL), TRUE);
	expect(205, ExCancelTimer(timer, NULL), FALSE);
	expect(206, ExDeleteTimer(timer, TRUE, TRUE, NULL), FALSE);
	/* Deletion has waited for the function. */
	expect(207, ticks, 1);
}

/* Functions of fwpkclnt.sys, and as much of their structures as has to be there. */
#define FWP __declspec(dllimport) NTSTATUS
FWP FwpmEngineOpen0(PVOID server, ULONG service, PVOID identity, PVOID session, HANDLE *engine);
FWP FwpmEngineClose0(HANDLE engine);
FWP FwpmTransactionBegin0(HANDLE engine, ULONG flags);
FWP FwpmTransactionCommit0(HANDLE engine);
FWP FwpmTransactionAbort0(HANDLE engine);
FWP FwpmProviderAdd0(HANDLE engine, const GUID *provider, PVOID security);
FWP FwpmProviderDeleteByKey0(HANDLE engine, const GUID *key);
FWP FwpmFilterCreateEnumHandle0(HANDLE engine, PVOID template, HANDLE *enumeration);
FWP FwpmFilterEnum0(HANDLE engine, HANDLE enumeration, ULONG most, PVOID *entries, ULONG *count);
FWP FwpmFilterDestroyEnumHandle0(HANDLE engine, HANDLE enumeration);
FWP FwpsCalloutRegister3(PVOID device, const GUID *callout, ULONG *id);
FWP FwpsCalloutUnregisterById0(ULONG id);
FWP FwpsCalloutRegister1(PVOID device, const GUID *callout, ULONG *id);
FWP FwpsCalloutUnregisterByKey0(const GUID *key);
FWP FwpmCalloutAdd0(HANDLE engine, const GUID *callout, PVOID security, ULONG *id);
FWP FwpmCalloutDeleteById0(HANDLE engine, ULONG id);
FWP FwpmFilterAdd0(HANDLE engine, const GUID *filter, PVOID security, ULONG64 *id);
FWP FwpmFilterDeleteById0(HANDLE engine, ULONG64 id);
FWP FwpmFilterDeleteByKey0(HANDLE engine, const GUID *key);
FWP FwpmProviderContextAdd0(HANDLE engine, const GUID *context, PVOID security, ULONG64 *id);
FWP FwpmProviderContextDeleteByKey0(HANDLE engine, const GUID *key);
FWP FwpmBfeStateSubscribeChanges0(PVOID device, PVOID callback, PVOID context, HANDLE *change);
FWP FwpmBfeStateUnsubscribeChanges0(HANDLE change);
FWP FwpsFlowAssociateContext0(ULONG64 flow, USHORT layer, ULONG callout, ULONG64 context);
FWP FwpsFlowRemoveContext0(ULONG64 flow, USHORT layer, ULONG callout);
FWP FwpsRedirectHandleCreate0(const GUID *provider, ULONG flags, HANDLE *redirect);
__declspec(dllimport) void FwpsRedirectHandleDestroy0(HANDLE redirect);
__declspec(dllimport) ULONG FwpmBfeStateGet0(void);
__declspec(dllimport) void FwpmFreeMemory0(PVOID *memory);

/* A key is the first member of all that has one; the rest is zero. */
typedef struct KEYED {
	GUID key;
	UCHAR rest[240];
} KEYED;

static void state_changed(PVOID context, ULONG state)
{
	(void)context;
	(void)state;
}

/* What has a number, what tells of the engine, and flows, of which there is none. */
NOINLINE static void numbered(HANDLE engine)
{
	KEYED object = { 0 };
	HANDLE handle;
	ULONG64 number;
	ULONG id;

	object.key.Data1 = 0x2F6B9C01;
	if (FwpmCalloutAdd0(engine, &object.key, NULL, &id) == STATUS_SUCCESS) {
		expect(260, (ULONG)FwpmCalloutDeleteById0(engine, id), STATUS_SUCCESS);
		expect(261, FwpmCalloutDeleteById0(engine, id) == STATUS_SUCCESS, FALSE);
	}
	if (FwpmFilterAdd0(engine, &object.key, NULL, &number) == STATUS_SUCCESS) {
		expect(262, FwpmFilterDeleteById0(engine, number + 7) == STATUS_SUCCESS, FALSE);
		expect(263, (ULONG)FwpmFilterDeleteById0(engine, number), STATUS_SUCCESS);
	}
	if (FwpmProviderContextAdd0(engine, &object.key, NULL, &number) == STATUS_SUCCESS)
		expect(264, (ULONG)FwpmProviderContextDeleteByKey0(engine, &object.key), STATUS_SUCCESS);
	if (FwpsCalloutRegister1(filter_object, &object.key, &id) == STATUS_SUCCESS) {
		expect(265, FwpsFlowAssociateContext0(1, 2, id, 3) == STATUS_SUCCESS, FALSE);
		expect(266, FwpsFlowRemoveContext0(1, 2, id) == STATUS_SUCCESS, FALSE);
		expect(267, (ULONG)FwpsCalloutUnregisterByKey0(&object.key), STATUS_SUCCESS);
		expect(268, FwpsCalloutUnregisterByKey0(&object.key) == STATUS_SUCCESS, FALSE);
	}
	/* FWPM_SERVICE_RUNNING */
	expect(269, FwpmBfeStateGet0(), 3);
	if (FwpmBfeStateSubscribeChanges0(filter_object, state_changed, NULL, &handle) == STATUS_SUCCESS)
		expect(270, (ULONG)FwpmBfeStateUnsubscribeChanges0(handle), STATUS_SUCCESS);
	if (FwpsRedirectHandleCreate0(&object.key, 0, &handle) == STATUS_SUCCESS)
		FwpsRedirectHandleDestroy0(handle);
}

/* Filters without keys of their own: one is found by enumerating, one has its number. */
NOINLINE static void filters(HANDLE engine)
{
	KEYED object = { 0 };
	HANDLE enumeration;
	UCHAR **entries;
	ULONG64 first, second;
	ULONG count, seen = 0, deleted = 0;

	object.rest[48] = 7; /* of layerKey */
	if (FwpmFilterAdd0(engine, &object.key, NULL, &first) != STATUS_SUCCESS)
		return;
	if (FwpmFilterAdd0(engine, &object.key, NULL, &second) == STATUS_SUCCESS) {
		if (FwpmFilterCreateEnumHandle0(engine, NULL, &enumeration) == STATUS_SUCCESS) {
			while (FwpmFilterEnum0(engine, enumeration, 1, (PVOID *)&entries, &count) == STATUS_SUCCESS && count == 1) {
				expect(230, entries[0][64], 7);
				/* filterId */
				if (*(ULONG64 *)(entries[0] + 176) == second)
					deleted += FwpmFilterDeleteByKey0(engine, (const GUID *)entries[0]) == STATUS_SUCCESS;
				FwpmFreeMemory0((PVOID *)&entries);
				seen++;
			}
			expect(231, seen, 2);
			expect(232, deleted, 1);
			expect(233, (ULONG)FwpmFilterDestroyEnumHandle0(engine, enumeration), STATUS_SUCCESS);
		}
		expect(234, FwpmFilterDeleteById0(engine, second) == STATUS_SUCCESS, deleted == 0);
	}
	expect(235, (ULONG)FwpmFilterDeleteById0(engine, first), STATUS_SUCCESS);
}

NOINLINE static void platform(void)
{
	KEYED object = { 0 };
	HANDLE engine, enumeration;
	PVOID entries = NULL;
	ULONG count = 7, id;

	object.key.Data1 = 0x5CBF81BD;
	if (FwpmEngineOpen0(NULL, 10, NULL, NULL, &engine) != STATUS_SUCCESS)
		return;
	if (FwpmTransactionBegin0(engine, 0) == STATUS_SUCCESS) {
		if (FwpmProviderAdd0(engine, &object.key, NULL) == STATUS_SUCCESS) {
			expect(210, FwpmProviderAdd0(engine, &object.key, NULL) == STATUS_SUCCESS, FALSE);
			expect(211, (ULONG)FwpmProviderDeleteByKey0(engine, &object.key), STATUS_SUCCESS);
		}
		expect(212, FwpmProviderDeleteByKey0(engine, &object.key) == STATUS_SUCCESS, FALSE);
		expect(213, (ULONG)FwpmTransactionCommit0(engine), STATUS_SUCCESS);
	}
	expect(214, FwpmTransactionCommit0(engine) == STATUS_SUCCESS, FALSE);
	/* What was added within a transaction goes with it, if that is aborted. */
	if (FwpmTransactionBegin0(engine, 0) == STATUS_SUCCESS) {
		if (FwpmProviderAdd0(engine, &object.key, NULL) == STATUS_SUCCESS) {
			expect(221, (ULONG)FwpmTransactionAbort0(engine), STATUS_SUCCESS);
			expect(222, FwpmProviderDeleteByKey0(engine, &object.key) == STATUS_SUCCESS, FALSE);
		} else {
			expect(223, (ULONG)FwpmTransactionAbort0(engine), STATUS_SUCCESS);
		}
	}
	if (FwpmFilterCreateEnumHandle0(engine, NULL, &enumeration) == STATUS_SUCCESS) {
		expect(215, (ULONG)FwpmFilterEnum0(engine, enumeration, 8, &entries, &count), STATUS_SUCCESS);
		expect(216, count, 0);
		FwpmFreeMemory0(&entries);
		expect(217, (ULONG)FwpmFilterDestroyEnumHandle0(engine, enumeration), STATUS_SUCCESS);
	}
	if (FwpsCalloutRegister3(filter_object, &object.key, &id) == STATUS_SUCCESS) {
		expect(218, (ULONG)FwpsCalloutUnregisterById0(id), STATUS_SUCCESS);
		expect(219, FwpsCalloutUnregisterById0(id) == STATUS_SUCCESS, FALSE);
	}
	numbered(engine);
	filters(engine);
	expect(220, (ULONG)FwpmEngineClose0(engine), STATUS_SUCCESS);
}

/* KUSER_SHARED_DATA, which older kits read in place. */
#define SHARED_DATA 0xFFFFF78000000000

static ULONG64 shared(ULONG offset)
{
	return *(volatile ULONG64 *)(SHARED_DATA + offset);
}

/* The level in CR8, and the times that the system shares with every process. */
NOINLINE static void inline_code(void)
{
	enum { INTERRUPT_TIME = 0x8, SYSTEM_TIME = 0x14, MAJOR_VERSION = 0x26C, TICK_COUNT = 0x320 };
	ULONG64 level, before = shared(INTERRUPT_TIME);

	__asm__ volatile("mov %%cr8, %0" : "=r"(level));
	expect(230, level, PASSIVE_LEVEL);
	__asm__ volatile("mov %0, %%cr8" : : "r"((ULONG64)DISPATCH_LEVEL) : "memory");
	expect(231, KeGetCurrentIrql(), DISPATCH_LEVEL);
	__asm__ volatile("mov %%cr8, %0" : "=r"(level));
	expect(232, level, DISPATCH_LEVEL);
	__asm__ volatile("mov %0, %%cr8" : : "r"((ULONG64)PASSIVE_LEVEL) : "memory");
	expect(233, KeGetCurrentIrql(), PASSIVE_LEVEL);
	expect(234, (ULONG)shared(MAJOR_VERSION), 10);
	expect(235, shared(INTERRUPT_TIME) >= before, TRUE);
	expect(236, shared(SYSTEM_TIME) > before, TRUE);
	(void)shared(TICK_COUNT);
}

/* Runs all trials. */
void system_calls(void)
{
	timers();
	platform();
	inline_code();
	store();
	irps();
	objects(filter_device);
}
