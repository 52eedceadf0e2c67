/*
 * Threads, processors, queues, locks, registrations and pages of the kernel, tried against what the pages of their
 * functions say. The driver stops the system where one differs. What can fail may fail.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)

/* What the table of prototypes does not have. */
IMPORT USHORT KeQueryHighestNodeNumber(void);
IMPORT USHORT KeGetCurrentNodeNumber(void);
IMPORT void KeQueryNodeActiveAffinity(USHORT node, GROUP_AFFINITY *affinity, USHORT *count);
IMPORT KAFFINITY KeQueryActiveProcessors(void);
IMPORT NTSTATUS KeQueryLogicalProcessorRelationship(PROCESSOR_NUMBER *number, ULONG relation, void *out, ULONG *length);
IMPORT NTSTATUS KeQueryAuxiliaryCounterFrequency(ULONG64 *frequency);
IMPORT LONG KeSetBasePriorityThread(void *thread, LONG increment);
IMPORT ULONG64 KeQueryTotalCycleTimeThread(void *thread, ULONG64 *stamp);
IMPORT void KeInitializeQueue(void *queue, ULONG count);
IMPORT LONG KeInsertQueue(void *queue, LIST_ENTRY *entry);
IMPORT LONG KeInsertHeadQueue(void *queue, LIST_ENTRY *entry);
IMPORT LIST_ENTRY *KeRemoveQueue(void *queue, KPROCESSOR_MODE mode, LARGE_INTEGER *timeout);
IMPORT LIST_ENTRY *KeRundownQueue(void *queue);
IMPORT LONG KeReadStateQueue(void *queue);
IMPORT void *KeRegisterNmiCallback(void *routine, void *context);
IMPORT NTSTATUS KeDeregisterNmiCallback(void *handle);
IMPORT void *KeRegisterProcessorChangeCallback(void *routine, void *context, ULONG flags);
IMPORT void KeDeregisterProcessorChangeCallback(void *handle);
IMPORT void KeStackAttachProcess(void *process, void *state);
IMPORT void KeUnstackDetachProcess(void *state);
IMPORT NTSTATUS PoRegisterPowerSettingCallback(void *device, const GUID *setting, void *routine, void *context, void **handle);
IMPORT NTSTATUS PoUnregisterPowerSettingCallback(void *handle);
IMPORT NTSTATUS PsSetCreateProcessNotifyRoutine(void *routine, BOOLEAN remove);
IMPORT NTSTATUS PsSetLoadImageNotifyRoutine(void *routine);
IMPORT NTSTATUS PsRemoveLoadImageNotifyRoutine(void *routine);
IMPORT NTSTATUS PsLookupProcessByProcessId(HANDLE id, void **process);
IMPORT NTSTATUS PsLookupThreadByThreadId(HANDLE id, void **thread);
IMPORT void *PsGetThreadProcess(void *thread);
IMPORT HANDLE PsGetThreadProcessId(void *thread);
IMPORT ULONG PsGetProcessSessionId(void *process);
IMPORT void *PsInitialSystemProcess;
IMPORT ULONG ExSetTimerResolution(ULONG time, BOOLEAN set);
IMPORT SIZE_T ExSizeOfRundownProtectionCacheAware(void);
IMPORT BOOLEAN ExIsResourceAcquiredExclusiveLite(ERESOURCE *resource);
IMPORT ULONG ExIsResourceAcquiredSharedLite(ERESOURCE *resource);
IMPORT void ExConvertExclusiveToSharedLite(ERESOURCE *resource);
IMPORT void *ExEnterCriticalRegionAndAcquireResourceExclusive(ERESOURCE *resource);
IMPORT void ExReleaseResourceAndLeaveCriticalRegion(ERESOURCE *resource);
IMPORT BOOLEAN ExTryAcquirePushLockExclusiveEx(ULONG_PTR *lock, ULONG flags);
IMPORT BOOLEAN ExTryAcquirePushLockSharedEx(ULONG_PTR *lock, ULONG flags);
IMPORT void *MmAllocateContiguousMemory(SIZE_T bytes, PHYSICAL_ADDRESS highest);
IMPORT void MmFreeContiguousMemory(void *base);
IMPORT void *MmAllocateNonCachedMemory(SIZE_T bytes);
IMPORT void MmFreeNonCachedMemory(void *base, SIZE_T bytes);
IMPORT void *MmAllocateMappingAddress(SIZE_T bytes, ULONG tag);
IMPORT void MmFreeMappingAddress(void *base, ULONG tag);
IMPORT void *MmMapLockedPagesWithReservedMapping(void *base, ULONG tag, MDL *mdl, ULONG caching);
IMPORT void MmUnmapReservedMapping(void *base, ULONG tag, MDL *mdl);
IMPORT NTSTATUS MmCopyMemory(void *target, PVOID source, SIZE_T bytes, ULONG flags, SIZE_T *done);

#define TIMED_OUT ((LIST_ENTRY *)0x102)
#define ABANDONED ((LIST_ENTRY *)0x80)

/* The running thread goes where it is sent, and comes back. */
NOINLINE static void affinities(void)
{
	ULONG processors = KeQueryActiveProcessorCountEx(0xFFFF), i;
	GROUP_AFFINITY affinity = { 0 }, before = { 0 };

	expect(400, KeSetSystemAffinityThreadEx(0), 0);
	/* A processor that is not there. */
	expect(401, KeSetSystemAffinityThreadEx((KAFFINITY)1 << 63), 0);
	for (i = 0; i < processors; ++i) {
		expect(402, KeSetSystemAffinityThreadEx((KAFFINITY)1 << i), i ? (KAFFINITY)1 << (i - 1) : 0);
		expect(403, KeGetCurrentProcessorNumberEx(NULL), i);
	}
	KeRevertToUserAffinityThreadEx(1);
	expect(404, KeGetCurrentProcessorNumberEx(NULL), 0);
	KeRevertToUserAffinityThreadEx(0);
	/* Nothing is left to go back to. */
	KeRevertToUserAffinityThreadEx(1);
	expect(405, KeSetSystemAffinityThreadEx(1), 0);
	KeRevertToUserAffinityThread();
	affinity.Mask = 1;
	affinity.Group = 7;
	KeSetSystemGroupAffinityThread(&affinity, &before);
	expect(406, before.Mask, 0);
	affinity.Group = 0;
	affinity.Mask = (KAFFINITY)1 << (processors - 1);
	KeSetSystemGroupAffinityThread(&affinity, &before);
	expect(408, KeGetCurrentProcessorNumberEx(NULL), processors - 1);
	KeRevertToUserGroupAffinityThread(&before);
	KeRevertToUserGroupAffinityThread(&before);
}

NOINLINE static void topology(void)
{
	ULONG processors = KeQueryActiveProcessorCountEx(0xFFFF), length = 0;
	PROCESSOR_NUMBER number = { 0 };
	GROUP_AFFINITY affinity;
	UCHAR record[80];
	USHORT count;

	expect(410, KeQueryHighestNodeNumber(), 0);
	expect(411, KeGetCurrentNodeNumber(), 0);
	KeQueryNodeActiveAffinity(0, &affinity, &count);
	expect(412, count, processors);
	expect(413, affinity.Mask, KeQueryActiveProcessors());
	/* RelationProcessorCore of one processor. */
	number.Number = (UCHAR)(processors - 1);
	expect(414, (ULONG)KeQueryLogicalProcessorRelationship(&number, 0, NULL, &length), (ULONG)STATUS_INFO_LENGTH_MISMATCH);
	expect(415, length, 48);
	expect(416, (ULONG)KeQueryLogicalProcessorRelationship(&number, 0, record, &length), STATUS_SUCCESS);
	expect(417, *(ULONG64 *)(record + 32), (ULONG64)1 << (processors - 1));
	number.Number = 63;
	expect(418, (ULONG)KeQueryLogicalProcessorRelationship(&number, 0, record, &length), (ULONG)STATUS_INVALID_PARAMETER);
	expect(419, (ULONG)KeQueryAuxiliaryCounterFrequency(NULL), (ULONG)STATUS_NOT_SUPPORTED);
}

NOINLINE static void identities(void)
{
	void *thread = (void *)KeGetCurrentThread(), *found = NULL;
	ULONG64 state[6], stamp = 0, cycles;
	ULONG user = 1;
	LONG old;

	old = KeSetPriorityThread(thread, 12);
	expect(420, (ULONG)KeQueryPriorityThread(thread), 12);
	expect(421, (ULONG)KeSetPriorityThread(thread, old), 12);
	KeSetBasePriorityThread(thread, 2);
	expect(422, (ULONG)KeSetBasePriorityThread(thread, 0), 2);
	cycles = KeQueryTotalCycleTimeThread(thread, &stamp);
	expect(423, KeQueryTotalCycleTimeThread(thread, &stamp) > cycles, TRUE);
	KeQueryRuntimeThread(thread, &user);
	expect(424, user, 0);
	expect(425, (ULONG64)PsGetThreadId(thread), (ULONG64)PsGetCurrentThreadId());
	expect(426, (ULONG64)PsGetThreadProcessId(thread), (ULONG64)PsGetCurrentProcessId());
	expect(427, (ULONG)PsLookupThreadByThreadId(PsGetThreadId(thread), &found), STATUS_SUCCESS);
	expect(428, (ULONG64)found, (ULONG64)thread);
	ObfDereferenceObject(found);
	expect(429, (ULONG)PsLookupThreadByThreadId((HANDLE)3, &found), (ULONG)STATUS_INVALID_PARAMETER);
	expect(430, (ULONG)PsLookupProcessByProcessId((HANDLE)4, &found), STATUS_SUCCESS);
	expect(431, (ULONG64)found, (ULONG64)PsInitialSystemProcess);
	expect(432, (ULONG64)PsGetThreadProcess(thread), (ULONG64)found);
	expect(433, PsGetProcessSessionId(found), 0);
	ObfDereferenceObject(found);
	/* STATUS_INVALID_CID */
	expect(434, (ULONG)PsLookupProcessByProcessId((HANDLE)0x7FFFFFF0, &found), 0xC000000B);
	KeStackAttachProcess(PsInitialSystemProcess, state);
	KeUnstackDetachProcess(state);
}

NOINLINE static void queues(void)
{
	ULONG64 queue[8];
	LIST_ENTRY one, two;
	LARGE_INTEGER now = { .QuadPart = 0 }, soon = { .QuadPart = -1000 };

	KeInitializeQueue(queue, 0);
	expect(440, (ULONG64)KeRemoveQueue(queue, KernelMode, &now), (ULONG64)TIMED_OUT);
	expect(441, (ULONG)KeInsertQueue(queue, &one), 0);
	expect(442, (ULONG)KeInsertHeadQueue(queue, &two), 1);
	expect(443, (ULONG)KeReadStateQueue(queue), 2);
	expect(444, (ULONG64)KeRemoveQueue(queue, KernelMode, NULL), (ULONG64)&two);
	expect(445, (ULONG64)KeRemoveQueue(queue, KernelMode, NULL), (ULONG64)&one);
	expect(446, (ULONG64)KeRemoveQueue(queue, KernelMode, &soon), (ULONG64)TIMED_OUT);
	KeInsertQueue(queue, &one);
	expect(447, (ULONG64)KeRundownQueue(queue), (ULONG64)&one);
	expect(448, (ULONG64)one.Flink, (ULONG64)&one);
	expect(449, (ULONG64)KeRemoveQueue(queue, KernelMode, NULL), (ULONG64)ABANDONED);
}

/* KIPI_BROADCAST_WORKER: on each processor, in the place of what it did. */
static ULONG_PTR broadcast(ULONG_PTR context)
{
	ULONG processor = KeGetCurrentProcessorNumberEx(NULL);
	ULONG64 volatile *seen = (ULONG64 volatile *)context;

	__sync_fetch_and_or(seen, (ULONG64)1 << processor);
	/* All are here at the same time. */
	while (*seen != KeQueryActiveProcessors())
		__asm__ volatile("pause");
	expect(461, KeGetCurrentIrql() > DISPATCH_LEVEL, TRUE);
	return processor + 100;
}

/* EXPAND_STACK_CALLOUT */
static void expanded(void *parameter)
{
	UCHAR volatile room[4096];

	room[0] = room[sizeof(room) - 1] = 1;
	*(ULONG *)parameter += room[0];
}

/* KDEFERRED_ROUTINE */
static void deferred(KDPC *dpc, void *context, void *first, void *second)
{
	ULONG watchdog[5] = { 0 };

	(void)dpc;
	(void)first;
	(void)second;
	expect(455, (ULONG)KeQueryDpcWatchdogInformation(watchdog), STATUS_SUCCESS);
	expect(456, watchdog[0] != 0 && watchdog[1] <= watchdog[0] && watchdog[1] != 0, TRUE);
	++*(volatile ULONG *)context;
}

NOINLINE static void callouts(void)
{
	volatile ULONG64 seen = 0;
	volatile ULONG runs = 0;
	ULONG calls = 0;
	NTSTATUS status;
	KDPC dpc;

	/* The thread may go elsewhere before and after. */
	KeSetSystemAffinityThreadEx(1);
	expect(450, KeIpiGenericCall(broadcast, (ULONG_PTR)&seen), 100);
	KeRevertToUserAffinityThreadEx(0);
	expect(451, seen, KeQueryActiveProcessors());
	status = KeExpandKernelStackAndCalloutEx(expanded, &calls, 8192, FALSE, NULL);
	expect(452, status == STATUS_SUCCESS ? calls : 1, 1);
	/* STATUS_INVALID_PARAMETER_3 */
	status = KeExpandKernelStackAndCalloutEx(expanded, &calls, 1 << 20, FALSE, NULL);
	expect(453, status == STATUS_SUCCESS, FALSE);
	KeInitializeDpc(&dpc, deferred, (void *)&runs);
	KeInsertQueueDpc(&dpc, NULL, NULL);
	if (KeRemoveQueueDpcEx(&dpc, TRUE))
		expect(454, runs, 0);
	else
		expect(457, runs, 1);
	expect(458, KeRemoveQueueDpcEx(&dpc, FALSE), FALSE);
	/* A threaded DPC, or anything below DISPATCH_LEVEL. */
	{
		KSPIN_LOCK lock;
		KIRQL old;

		KeInitializeSpinLock(&lock);
		old = KeAcquireSpinLockForDpc(&lock);
		expect(459, KeGetCurrentIrql(), DISPATCH_LEVEL);
		KeReleaseSpinLockForDpc(&lock, old);
		expect(460, KeGetCurrentIrql(), PASSIVE_LEVEL);
	}
}

/* What the system calls. */
static void bug_check(void *buffer, ULONG length)
{
	(void)buffer;
	(void)length;
}

static BOOLEAN nmi(void *context, BOOLEAN handled)
{
	(void)context;
	return handled;
}

static void processor_change(void *context, ULONG *change, NTSTATUS *status)
{
	(void)status;
	((ULONG *)context)[change[0] ? 1 : 0] += 1;
}

static NTSTATUS power(const GUID *setting, void *value, ULONG length, void *context)
{
	(void)setting;
	*(ULONG *)context = length == 4 ? *(ULONG *)value + 1 : 0;
	return STATUS_SUCCESS;
}

static void process(HANDLE parent, HANDLE id, BOOLEAN create)
{
	(void)create;
	expect(470, parent != id, TRUE);
}

static void image(UNICODE_STRING *name, HANDLE process, void *info)
{
	(void)process;
	(void)info;
	expect(471, name->Length != 0, TRUE);
}

NOINLINE static void registrations(void)
{
	/* GUID_ACDC_POWER_SOURCE */
	static const ULONG64 source[2] = { 0x4B00E9D55D3E9A59, 0x486551FF34FFBDA6 };
	static KBUGCHECK_CALLBACK_RECORD record;
	ULONG told[2] = { 0 }, value = 0, processors = KeQueryActiveProcessorCountEx(0xFFFF);
	UCHAR component[] = "c-filter";
	void *handle;

	expect(480, KeRegisterBugCheckCallback(&record, bug_check, NULL, 0, component), TRUE);
	expect(481, KeRegisterBugCheckCallback(&record, bug_check, NULL, 0, component), FALSE);
	expect(482, KeDeregisterBugCheckCallback(&record), TRUE);
	expect(483, KeDeregisterBugCheckCallback(&record), FALSE);
	handle = KeRegisterNmiCallback(nmi, NULL);
	if (handle)
		expect(484, (ULONG)KeDeregisterNmiCallback(handle), STATUS_SUCCESS);
	expect(485, KeDeregisterNmiCallback((void *)&record) == STATUS_SUCCESS, FALSE);
	/* KE_PROCESSOR_CHANGE_ADD_EXISTING: each begins, and then each is complete. */
	handle = KeRegisterProcessorChangeCallback(processor_change, told, 1);
	if (handle) {
		expect(486, told[0], processors);
		expect(487, told[1], processors);
		KeDeregisterProcessorChangeCallback(handle);
	}
	if (PoRegisterPowerSettingCallback(NULL, (const GUID *)source, power, &value, &handle) == STATUS_SUCCESS) {
		expect(488, value, 1);
		expect(489, (ULONG)PoUnregisterPowerSettingCallback(handle), STATUS_SUCCESS);
	}
	expect(490, (ULONG)PoUnregisterPowerSettingCallback(&record), (ULONG)STATUS_INVALID_PARAMETER);
	expect(491, (ULONG)PsSetCreateProcessNotifyRoutine(process, FALSE), STATUS_SUCCESS);
	expect(492, (ULONG)PsSetCreateProcessNotifyRoutine(process, FALSE), (ULONG)STATUS_INVALID_PARAMETER);
	if (PsSetLoadImageNotifyRoutine(image) == STATUS_SUCCESS)
		expect(493, (ULONG)PsRemoveLoadImageNotifyRoutine(image), STATUS_SUCCESS);
	expect(494, (ULONG)PsRemoveLoadImageNotifyRoutine(image), (ULONG)STATUS_PROCEDURE_NOT_FOUND);
	expect(495, (ULONG)PsSetCreateProcessNotifyRoutine(process, TRUE), STATUS_SUCCESS);
}

NOINLINE static void locks(void)
{
	ULONG most, least, now;
	ULONG_PTR push = 0;
	ERESOURCE resource;
	EX_SPIN_LOCK spin = 0;
	KIRQL old;

	ExQueryTimerResolution(&most, &least, &now);
	expect(510, now, most);
	expect(511, ExSetTimerResolution(10000, TRUE), 10000);
	expect(512, ExSetTimerResolution(20000, TRUE), 10000);
	expect(513, ExSetTimerResolution(0, FALSE), most);
	if (ExInitializeResourceLite(&resource) == STATUS_SUCCESS) {
		ExEnterCriticalRegionAndAcquireResourceExclusive(&resource);
		expect(514, KeAreApcsDisabled(), TRUE);
		expect(515, ExIsResourceAcquiredExclusiveLite(&resource), TRUE);
		ExConvertExclusiveToSharedLite(&resource);
		expect(516, ExIsResourceAcquiredExclusiveLite(&resource), FALSE);
		expect(517, ExIsResourceAcquiredSharedLite(&resource), 1);
		ExReleaseResourceAndLeaveCriticalRegion(&resource);
		expect(518, ExIsResourceAcquiredSharedLite(&resource), 0);
		ExDeleteResourceLite(&resource);
	}
	KeEnterCriticalRegion();
	expect(519, ExTryAcquirePushLockSharedEx(&push, 0), TRUE);
	expect(520, ExTryAcquirePushLockExclusiveEx(&push, 0), FALSE);
	ExReleasePushLockSharedEx(&push, 0);
	KeLeaveCriticalRegion();
	old = ExAcquireSpinLockShared(&spin);
	expect(521, ExTryAcquireSpinLockExclusiveAtDpcLevel(&spin), FALSE);
	expect(522, ExTryConvertSharedSpinLockExclusive(&spin), TRUE);
	ExReleaseSpinLockExclusive(&spin, old);
	expect(523, ExSizeOfRundownProtectionCacheAware() >= sizeof(ULONG64), TRUE);
}

NOINLINE static void pages(void)
{
	PHYSICAL_ADDRESS low = { .QuadPart = 0 }, high = { .QuadPart = -1 };
	MDL *mdl = MmAllocatePagesForMdlEx(low, high, low, 5000, MmCached, 0);
	UCHAR bytes[8], *at;
	SIZE_T done = 0;
	void *base;

	if (mdl) {
		expect(530, mdl->ByteCount, 8192);
		at = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE,
						  NormalPagePriority | MdlMappingNoExecute);
		if (at) {
			expect(531, at[0] | at[8191], 0);
			at[8191] = 7;
			expect(532, (ULONG)MmCopyMemory(bytes, at + 8190, 2, 2, &done), STATUS_SUCCESS);
			expect(533, bytes[1], 7);
			/* Beyond the pages nothing can be read. */
			expect(534, MmCopyMemory(bytes, (PVOID)0xFFFF900000000000, 2, 2, &done) == STATUS_SUCCESS, FALSE);
			expect(535, done, 0);
			expect(536, (ULONG)MmCopyMemory(bytes, at, 2, 3, &done), (ULONG)STATUS_INVALID_PARAMETER);
			MmUnmapLockedPages(at, mdl);
		}
		base = MmAllocateMappingAddress(4096, FILTER_TAG);
		if (base) {
			/* Too small. */
			expect(537, (ULONG64)MmMapLockedPagesWithReservedMapping(base, FILTER_TAG, mdl, MmCached), 0);
			MmFreeMappingAddress(base, FILTER_TAG);
		}
		base = MmAllocateMappingAddress(8192, FILTER_TAG);
		if (base) {
			at = MmMapLockedPagesWithReservedMapping(base, FILTER_TAG, mdl, MmCached);
			expect(538, at != NULL, TRUE);
			at[0] = 1;
			MmUnmapReservedMapping(base, FILTER_TAG, mdl);
			MmFreeMappingAddress(base, FILTER_TAG);
		}
		MmFreePagesFromMdl(mdl);
		ExFreePool(mdl);
	}
	at = MmAllocateContiguousMemory(100, high);
	if (at) {
		expect(539, (ULONG64)at & 4095, 0);
		at[99] = 1;
		MmFreeContiguousMemory(at);
	}
	high.QuadPart = 0xFFF;
	expect(540, (ULONG64)MmAllocateContiguousMemory(100, high), 0);
	at = MmAllocateNonCachedMemory(100);
	if (at) {
		at[4095] = 1;
		MmFreeNonCachedMemory(at, 100);
	}
}

NOINLINE static void activities(void)
{
	GUID one, two;

	/* EVENT_ACTIVITY_CTRL_CREATE_ID, SET_ID, GET_ID. */
	expect(550, (ULONG)EtwActivityIdControl(3, &one), STATUS_SUCCESS);
	expect(551, one.Data1 | one.Data2 | one.Data3, one.Data1 | one.Data2 | one.Data3);
	expect(552, (ULONG)EtwActivityIdControl(2, &one), STATUS_SUCCESS);
	expect(553, (ULONG)EtwActivityIdControl(1, &two), STATUS_SUCCESS);
	expect(554, two.Data1, one.Data1);
	/* EVENT_ACTIVITY_CTRL_CREATE_SET_ID gives what was before. */
	expect(555, (ULONG)EtwActivityIdControl(5, &two), STATUS_SUCCESS);
	expect(556, two.Data1, one.Data1);
	expect(557, (ULONG)EtwActivityIdControl(9, &two), (ULONG)STATUS_INVALID_PARAMETER);
}

/* Runs all trials. */
void kernel_calls(void)
{
	affinities();
	topology();
	identities();
	queues();
	callouts();
	registrations();
	locks();
	pages();
	activities();
}
