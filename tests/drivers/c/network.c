/*
 * What NDIS tells and keeps beside packets and requests: processors, sub keys, interfaces, and what it has for older
 * drivers; tried against what the pages of its functions say. The driver stops the system where one differs. What can
 * fail may fail.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)

/* What the table of prototypes does not have. */
IMPORT void NdisGetCurrentProcessorCpuUsage(ULONG *percent);
IMPORT void NdisGetSystemUpTime(ULONG *ms);
IMPORT void NdisGetCurrentProcessorCounts(ULONG *idle, ULONG *all, ULONG *index);
IMPORT NDIS_STATUS NdisGetRssProcessorInformation(NDIS_HANDLE handle, void *out, SIZE_T *size);
IMPORT NDIS_STATUS NdisFGetOptionalSwitchHandlers(NDIS_HANDLE handle, void **context, void *handlers);
IMPORT NDIS_STATUS NdisIfRegisterProvider(void *characteristics, NDIS_HANDLE context, NDIS_HANDLE *provider);
IMPORT void NdisIfDeregisterProvider(NDIS_HANDLE provider);
IMPORT NDIS_STATUS NdisIfRegisterInterface(NDIS_HANDLE provider, ULONG64 luid, NDIS_HANDLE context, void *information, ULONG *index);
IMPORT void NdisIfDeregisterInterface(ULONG index);
IMPORT NDIS_STATUS NdisIfAllocateNetLuidIndex(USHORT type, ULONG *index);
IMPORT NDIS_STATUS NdisIfFreeNetLuidIndex(USHORT type, ULONG index);
IMPORT NDIS_STATUS NdisIfAddIfStackEntry(ULONG above, ULONG below);
IMPORT void NdisIfDeleteIfStackEntry(ULONG above, ULONG below);

NOINLINE static void machine(NDIS_HANDLE module)
{
	ULONG processors = KeQueryActiveProcessorCountEx(0xFFFF), words[512], idle, all, index;
	SIZE_T size = 0;
	ULONG handlers[64] = { 0 };
	void *context;

	expect(600, (ULONG)NdisGetProcessorInformationEx(module, NULL, &size), (ULONG)NDIS_STATUS_BUFFER_TOO_SHORT);
	expect(601, size, 40 + 20 * processors);
	expect(602, (ULONG)NdisGetProcessorInformationEx(module, words, &size), NDIS_STATUS_SUCCESS);
	/* NumberOfProcessors, and the number of the last. */
	expect(603, words[8], processors);
	expect(604, words[words[7] / 4 + 5 * (processors - 1)], (processors - 1) << 16);
	size = sizeof(words);
	expect(605, (ULONG)NdisGetRssProcessorInformation(module, words, &size), NDIS_STATUS_SUCCESS);
	expect(606, words[6], processors);
	NdisGetCurrentProcessorCpuUsage(&idle);
	expect(607, idle <= 100, TRUE);
	NdisGetCurrentProcessorCounts(&idle, &all, &index);
	expect(608, idle <= all && index < processors, TRUE);
	NdisGetSystemUpTime(&all);
	/* NDIS_SYSTEM_PROCESSOR_INFO */
	for (index = 0; index < 512; ++index)
		*(ULONG volatile *)&words[index] = 0;
	words[0] = 0x04300180;
	expect(612, (ULONG)NdisGetProcessorInformation(words), NDIS_STATUS_SUCCESS);
	expect(613, words[4], processors);
	expect(614, words[12 + 4 * (processors - 1)], processors - 1);
	words[0] = 0x000C0180;
	expect(609, (ULONG)NdisGetHypervisorInfo(words), NDIS_STATUS_SUCCESS);
	expect(610, words[1], 0);
	expect(611, (ULONG)NdisFGetOptionalSwitchHandlers(module, &context, handlers), (ULONG)NDIS_STATUS_NOT_SUPPORTED);
}

/* Sub keys of the parameters: in attach. */
void network_parameters(void)
{
	NDIS_CONFIGURATION_PARAMETER *parameter;
	NDIS_HANDLE configuration, below;
	UNICODE_STRING name, found = { 0 };
	ULONG value = 31;
	NDIS_STATUS status;
	WCHAR room[16];

	if (RtlCreateRegistryKey(RTL_REGISTRY_SERVICES, L"filter\\Parameters\\Below") != STATUS_SUCCESS)
		return;
	if (RtlWriteRegistryValue(RTL_REGISTRY_SERVICES, L"filter\\Parameters\\Below", L"Depth", REG_DWORD, &value,
				  sizeof(value)) != STATUS_SUCCESS)
		return;
	configuration = driver_configuration();
	if (!configuration)
		return;
	RtlInitUnicodeString(&name, L"below");
	NdisOpenConfigurationKeyByName(&status, configuration, &name, &below);
	if (status == NDIS_STATUS_SUCCESS) {
		RtlInitUnicodeString(&name, L"Depth");
		NdisReadConfiguration(&status, &parameter, below, &name, NdisParameterInteger);
		if (status == NDIS_STATUS_SUCCESS)
			expect(620, parameter->ParameterData.IntegerData, 31);
		NdisCloseConfiguration(below);
	}
	RtlInitUnicodeString(&name, L"nowhere");
	NdisOpenConfigurationKeyByName(&status, configuration, &name, &below);
	expect(621, status == NDIS_STATUS_SUCCESS, FALSE);
	found.Buffer = room;
	found.MaximumLength = sizeof(room);
	NdisOpenConfigurationKeyByIndex(&status, configuration, 0, &found, &below);
	if (status == NDIS_STATUS_SUCCESS) {
		expect(622, found.Length, 10);
		expect(623, room[4], L'w');
		NdisCloseConfiguration(below);
	}
	NdisOpenConfigurationKeyByIndex(&status, configuration, 1, &found, &below);
	expect(624, status == NDIS_STATUS_SUCCESS, FALSE);
	NdisCloseConfiguration(configuration);
}

/* IF_QUERY_OBJECT and IF_SET_OBJECT. */
static NDIS_STATUS object(NDIS_HANDLE context, ULONG oid, ULONG *length, void *buffer)
{
	(void)context;
	(void)oid;
	(void)length;
	(void)buffer;
	return NDIS_STATUS_NOT_SUPPORTED;
}

NOINLINE static void interfaces(void)
{
	/* IF_TYPE_ETHERNET_CSMACD */
	enum { ETHERNET = 6 };
	ULONG64 characteristics[5] = { 0x00280180, (ULONG64)object, (ULONG64)object, 0, 0 };
	ULONG information[24] = { 0x00600180 }, index, interface;
	NDIS_HANDLE provider;
	ULONG64 luid;

	if (NdisIfRegisterProvider(characteristics, NULL, &provider) != NDIS_STATUS_SUCCESS)
		return;
	if (NdisIfAllocateNetLuidIndex(ETHERNET, &index) == NDIS_STATUS_SUCCESS) {
		luid = (ULONG64)ETHERNET << 48 | (ULONG64)index << 24;
		if (NdisIfRegisterInterface(provider, luid, NULL, information, &interface) == NDIS_STATUS_SUCCESS) {
			expect(630, NdisIfRegisterInterface(provider, luid, NULL, information, &index) == NDIS_STATUS_SUCCESS, FALSE);
			expect(631, NdisIfAddIfStackEntry(interface, 0) == NDIS_STATUS_SUCCESS, FALSE);
			if (NdisIfAddIfStackEntry(interface, interface) == NDIS_STATUS_SUCCESS)
				NdisIfDeleteIfStackEntry(interface, interface);
			NdisIfDeregisterInterface(interface);
		}
		index = (ULONG)(luid >> 24) & 0xFFFFFF;
		/* Of another type. */
		expect(632, NdisIfFreeNetLuidIndex(ETHERNET + 1, index) == NDIS_STATUS_SUCCESS, FALSE);
		expect(633, (ULONG)NdisIfFreeNetLuidIndex(ETHERNET, index), NDIS_STATUS_SUCCESS);
		expect(634, NdisIfFreeNetLuidIndex(ETHERNET, index) == NDIS_STATUS_SUCCESS, FALSE);
	}
	NdisIfDeregisterProvider(provider);
}

/* NDIS_TIMER_FUNCTION */
static void tick(void *first, void *context, void *second, void *third)
{
	(void)first;
	(void)second;
	(void)third;
	++*(volatile ULONG *)context;
}

/* Timers, locks, strings and memory of drivers before NDIS 6.20. */
NOINLINE static void older(void)
{
	static ULONG64 timer[16];
	static volatile ULONG ticks;
	NDIS_RW_LOCK lock;
	LOCK_STATE one, two;
	UNICODE_STRING string = { 0 };
	BOOLEAN cancelled = 7;
	UCHAR text[] = "older";
	void *block;
	const WCHAR *texts[1] = { L"\\Device\\CFilter" };
	UCHAR data[256];

	NdisInitializeTimer(timer, tick, (void *)&ticks);
	NdisSetTimer(timer, 1);
	NdisMSleep(5000);
	/* The function of a timer that has run out may wait for its processor. */
	KeFlushQueuedDpcs();
	expect(640, ticks, 1);
	NdisSetTimer(timer, 100000);
	NdisCancelTimer(timer, &cancelled);
	expect(641, cancelled, TRUE);
	NdisCancelTimer(timer, &cancelled);
	expect(642, cancelled, FALSE);
	NdisSetPeriodicTimer(timer, 1);
	NdisMSleep(5000);
	NdisCancelTimer(timer, &cancelled);
	KeFlushQueuedDpcs();
	expect(648, ticks > 2, TRUE);
	NdisInitializeReadWriteLock(&lock);
	NdisAcquireReadWriteLock(&lock, FALSE, &one);
	NdisAcquireReadWriteLock(&lock, FALSE, &two);
	expect(643, KeGetCurrentIrql(), DISPATCH_LEVEL);
	NdisReleaseReadWriteLock(&lock, &two);
	NdisReleaseReadWriteLock(&lock, &one);
	expect(644, KeGetCurrentIrql(), PASSIVE_LEVEL);
	NdisAcquireReadWriteLock(&lock, TRUE, &one);
	NdisReleaseReadWriteLock(&lock, &one);
	NdisInitializeString(&string, text);
	if (string.Buffer) {
		expect(645, string.Length, 10);
		expect(646, string.Buffer[4], L'r');
		NdisFreeMemory(string.Buffer, string.MaximumLength, 0);
	}
	if (NdisAllocateMemoryWithTag(&block, 64, FILTER_TAG) == NDIS_STATUS_SUCCESS)
		NdisFreeMemory(block, 64, 0);
	for (ULONG i = 0; i < sizeof(data); ++i)
		data[i] = (UCHAR)i;
	expect(647, NdisWriteEventLogEntry(filter_object, 0x4000000B, 1, 1, texts, sizeof(data), data) == NDIS_STATUS_SUCCESS,
	       FALSE);
	(void)NdisWriteEventLogEntry(filter_object, 0x4000000B, 1, 1, texts, 16, data);
}

/* Runs all trials. */
void network_calls(NDIS_HANDLE module)
{
	machine(module);
	interfaces();
	older();
}
