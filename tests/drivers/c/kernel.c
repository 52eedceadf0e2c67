/*
 * Threads, processors, queues, locks and registrations of the kernel, tried against what the pages of their
 * functions say. The driver stops the system where one differs. What can fail may fail.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)

/* What the table of prototypes does not have. */
IMPORT USHORT KeQueryHighestNodeNumber(void);
IMPORT USHORT KeGetCurrentNodeNumber(void);
IMPORT void KeQueryNodeActiveAffinity(USHORT node, GROUP_AFFINITY *affinity, USHORT *count);
IMPORT KAFFINITY KeQueryActiveProcessors(void);
IMPORT NTSTATUS KeQueryNodeActiveAffinity2(USHORT node, GROUP_AFFINITY *affinities, USHORT room, USHORT *needed);
IMPORT ULONG KeQueryNodeActiveProcessorCount(USHORT node);
IMPORT USHORT KeQueryNodeMaximumProcessorCount(USHORT node);
IMPORT ULONG KeGetRecommendedSharedDataAlignment(void);
IMPORT ULONG KeGetCurrentProcessorIndex(void);
IMPORT BOOLEAN KeInvalidateAllCaches(void);
IMPORT BOOLEAN MmIsThisAnNtAsSystem(void);
IMPORT ULONG MmQuerySystemSize(void);
IMPORT NTSTATUS PsSetCreateThreadNotifyRoutine(void *routine);
IMPORT NTSTATUS PsRemoveCreateThreadNotifyRoutine(void *routine);
IMPORT void *PsGetCurrentProcess(void);
IMPORT NTSTATUS ExReinitializeResourceLite(ERESOURCE *resource);
IMPORT void *ExEnterCriticalRegionAndAcquireResourceShared(ERESOURCE *resource);
IMPORT BOOLEAN ExAcquireSharedStarveExclusive(ERESOURCE *resource, BOOLEAN wait);
IMPORT BOOLEAN ExAcquireSharedWaitForExclusive(ERESOURCE *resource, BOOLEAN wait);
IMPORT ULONG ExGetExclusiveWaiterCount(ERESOURCE *resource);
IMPORT ULONG ExGetSharedWaiterCount(ERESOURCE *resource);
IMPORT NTSTATUS ExGetFirmwareEnvironmentVariable(UNICODE_STRING *name, const GUID *vendor, void *value, ULONG *length, ULONG *attributes);
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
IMPORT NTSTATUS PsSetCreateProcessNotifyRoutineEx(void *routine, BOOLEAN remove);
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
	expect(560, (ULONG)KeQueryNodeActiveAffinity2(0, &affinity, 1, &count), STATUS_SUCCESS);
	expect(561, count, 1);
	expect(562, (ULONG)KeQueryNodeActiveAffinity2(0, NULL, 0, &count), (ULONG)STATUS_BUFFER_TOO_SMALL);
	expect(563, KeQueryNodeActiveProcessorCount(0), processors);
	expect(564, KeQueryNodeMaximumProcessorCount(0), processors);
	expect(565, KeGetRecommendedSharedDataAlignment(), 64);
	expect(566, KeGetCurrentProcessorIndex() < processors, TRUE);
	expect(567, KeInvalidateAllCaches(), TRUE);
	expect(568, MmIsThisAnNtAsSystem(), FALSE);
	expect(569, MmQuerySystemSize() <= 2, TRUE);
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
	expect(435, (ULONG64)PsGetCurrentProcess(), (ULONG64)found);
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
	status = KeExpandKernelStackAndCallout(expanded, &calls, 8192);
	(void)status;
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

/* KBUGCHECK_REASON_CALLBACK_ROUTINE */
static void reason(ULONG why, void *record, void *data, ULONG length)
{
	(void)why;
	(void)record;
	(void)data;
	(void)length;
}

static void thread_notify(HANDLE process_id, HANDLE thread, BOOLEAN create)
{
	(void)create;
	expect(477, process_id != thread, TRUE);
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

static LONG volatile processes;

/* Those that open the filter's device: each begins, and ends. */
static void process(HANDLE parent, HANDLE id, BOOLEAN create)
{
	expect(470, parent != id, TRUE);
	expect(472, KeGetCurrentIrql(), PASSIVE_LEVEL);
	__sync_fetch_and_add(&processes, create ? 1 : 0);
}

/* The system process is none of them. */
static void process_ex(void *object, HANDLE id, void *info)
{
	(void)id;
	(void)info;
	expect(473, object != PsInitialSystemProcess, TRUE);
}

static void image(UNICODE_STRING *name, HANDLE process, void *info)
{
	(void)info;
	expect(471, name->Length != 0, TRUE);
	expect(474, process != NULL && processes > 0, TRUE);
}

static LONG volatile is_notified;

void kernel_detach(void)
{
	if (!__sync_bool_compare_and_swap(&is_notified, 1, 0))
		return;
	PsRemoveLoadImageNotifyRoutine(image);
	expect(475, (ULONG)PsSetCreateProcessNotifyRoutine(process, TRUE), STATUS_SUCCESS);
	expect(476, PsSetCreateProcessNotifyRoutine(process, TRUE) == STATUS_SUCCESS, FALSE);
}

NOINLINE static void registrations(void)
{
	/* GUID_ACDC_POWER_SOURCE */
	static const ULONG64 source[2] = { 0x4B00E9D55D3E9A59, 0x486551FF34FFBDA6 };
	static KBUGCHECK_CALLBACK_RECORD record;
	static KBUGCHECK_REASON_CALLBACK_RECORD second;
	ULONG told[2] = { 0 }, value = 0, processors = KeQueryActiveProcessorCountEx(0xFFFF);
	UCHAR component[] = "c-filter";
	void *handle;

	expect(480, KeRegisterBugCheckCallback(&record, bug_check, NULL, 0, component), TRUE);
	expect(481, KeRegisterBugCheckCallback(&record, bug_check, NULL, 0, component), FALSE);
	expect(482, KeDeregisterBugCheckCallback(&record), TRUE);
	expect(483, KeDeregisterBugCheckCallback(&record), FALSE);
	/* KbCallbackSecondaryDumpData */
	expect(497, KeRegisterBugCheckReasonCallback(&second, reason, 2, component), TRUE);
	expect(498, KeDeregisterBugCheckReasonCallback(&second), TRUE);
	expect(499, (ULONG)PsSetCreateThreadNotifyRoutine(thread_notify), STATUS_SUCCESS);
	expect(496, (ULONG)PsRemoveCreateThreadNotifyRoutine(thread_notify), STATUS_SUCCESS);
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
	/* The image has to be linked with /integritycheck. */
	expect(493, (ULONG)PsSetCreateProcessNotifyRoutineEx(process_ex, FALSE), (ULONG)STATUS_ACCESS_DENIED);
	if (PsSetLoadImageNotifyRoutine(image) == STATUS_SUCCESS)
		expect(494, (ULONG)PsRemoveLoadImageNotifyRoutine(image), STATUS_SUCCESS);
	expect(495, (ULONG)PsRemoveLoadImageNotifyRoutine(image), (ULONG)STATUS_PROCEDURE_NOT_FOUND);
	(void)PsSetLoadImageNotifyRoutine(image);
	/* Until the module is detached. */
	is_notified = 1;
}

NOINLINE static void locks(void)
{
	ULONG most, least, now;
	ULONG_PTR push = 0;
	ERESOURCE resource;
	EX_SPIN_LOCK spin = 0;
	KLOCK_QUEUE_HANDLE queued;
	KSPIN_LOCK lock;
	KEVENT event;
	UNICODE_STRING name;
	ULONG64 rundown[8 * 16];
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
		expect(570, (ULONG)ExReinitializeResourceLite(&resource), STATUS_SUCCESS);
		ExEnterCriticalRegionAndAcquireResourceShared(&resource);
		expect(571, ExAcquireSharedStarveExclusive(&resource, FALSE), TRUE);
		expect(572, ExAcquireSharedWaitForExclusive(&resource, FALSE), TRUE);
		expect(573, ExGetExclusiveWaiterCount(&resource) + ExGetSharedWaiterCount(&resource), 0);
		ExReleaseResourceForThreadLite(&resource, (ULONG_PTR)KeGetCurrentThread());
		ExReleaseResourceForThreadLite(&resource, (ULONG_PTR)KeGetCurrentThread());
		expect(574, ExIsResourceAcquiredSharedLite(&resource), 1);
		ExReleaseResourceAndLeaveCriticalRegion(&resource);
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
	old = KfRaiseIrql(DISPATCH_LEVEL);
	expect(575, ExTryAcquireSpinLockSharedAtDpcLevel(&spin), TRUE);
	expect(576, ExTryAcquireSpinLockExclusiveAtDpcLevel(&spin), FALSE);
	ExReleaseSpinLockSharedFromDpcLevel(&spin);
	KeLowerIrql(old);
	KeInitializeSpinLock(&lock);
	KeAcquireInStackQueuedSpinLockForDpc(&lock, &queued);
	expect(577, KeGetCurrentIrql(), DISPATCH_LEVEL);
	KeReleaseInStackQueuedSpinLockForDpc(&queued);
	ExInitializeRundownProtectionCacheAware(rundown, sizeof(rundown));
	expect(578, ExAcquireRundownProtectionCacheAware(rundown), TRUE);
	ExReleaseRundownProtectionCacheAware(rundown);
	KeInitializeEvent(&event, SynchronizationEvent, FALSE);
	expect(579, (ULONG)KePulseEvent(&event, 0, FALSE), 0);
	expect(580, (ULONG)KeReadStateEvent(&event), 0);
	RtlInitUnicodeString(&name, L"Boot0000");
	expect(581, (ULONG)ExGetFirmwareEnvironmentVariable(&name, NULL, NULL, &least, NULL), (ULONG)STATUS_NOT_IMPLEMENTED);
	expect(523, ExSizeOfRundownProtectionCacheAware() >= sizeof(ULONG64), TRUE);
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
	activities();
}
