/*
 * Functions of the run-time library and of NDIS that drivers in C use for strings, dates, lists and
 * processors, tried against what their pages say. The driver stops the system where one differs.
 *
 * The driver runs them in its work item, at PASSIVE_LEVEL.
 */
#include "filter.h"

NOINLINE static void strings(void)
{
	UNICODE_STRING wide = { 0 }, upper = { 0 }, constant;
	STRING narrow, back = { 0 };
	WCHAR room[12];
	UNICODE_STRING number = { 0 };

	number.Buffer = room;
	number.MaximumLength = sizeof(room);
	RtlInitAnsiString(&narrow, "Adapter 7");
	expect(100, narrow.Length, 9);
	expect(101, narrow.MaximumLength, 10);
	if (RtlAnsiStringToUnicodeString(&wide, &narrow, TRUE) != STATUS_SUCCESS)
		return;
	RtlInitUnicodeString(&constant, L"adapter 7");
	expect(102, wide.Length, 18);
	expect(103, RtlEqualUnicodeString(&wide, &constant, TRUE), TRUE);
	expect(104, RtlEqualUnicodeString(&wide, &constant, FALSE), FALSE);
	if (RtlUnicodeStringToAnsiString(&back, &wide, TRUE) == STATUS_SUCCESS) {
		expect(105, RtlEqualString(&back, &narrow, FALSE), TRUE);
		RtlFreeAnsiString(&back);
	}
	if (RtlUpcaseUnicodeString(&upper, &wide, TRUE) == STATUS_SUCCESS) {
		expect(106, upper.Buffer[1], L'D');
		RtlFreeUnicodeString(&upper);
	}
	RtlInitUnicodeString(&constant, L" 7");
	expect(107, RtlSuffixUnicodeString(&constant, &wide, FALSE), TRUE);
	RtlFreeUnicodeString(&wide);
	expect(108, (ULONG)RtlIntegerToUnicodeString(48879, 16, &number), STATUS_SUCCESS);
	RtlInitUnicodeString(&constant, L"BEEF");
	expect(109, RtlEqualUnicodeString(&number, &constant, FALSE), TRUE);
	number.MaximumLength = 4;
	expect(110, (ULONG)RtlIntegerToUnicodeString(48879, 10, &number), (ULONG)STATUS_BUFFER_OVERFLOW);
}

NOINLINE static void guids(void)
{
	UNICODE_STRING text = { 0 }, constant;
	GUID guid;

	RtlInitUnicodeString(&constant, L"{5CBF81BD-5055-47CD-9055-A76B2B4E3697}");
	expect(120, (ULONG)RtlGUIDFromString(&constant, &guid), STATUS_SUCCESS);
	expect(121, guid.Data1, 0x5CBF81BD);
	expect(122, guid.Data4[7], 0x97);
	if (RtlStringFromGUID(&guid, &text) == STATUS_SUCCESS) {
		expect(123, RtlEqualUnicodeString(&text, &constant, FALSE), TRUE);
		RtlFreeUnicodeString(&text);
	}
	expect(124, (ULONG)ExUuidCreate((void *)&guid), STATUS_SUCCESS);
	expect(125, guid.Data3 >> 12, 4);
	RtlInitUnicodeString(&constant, L"5CBF81BD");
	expect(126, (ULONG)RtlGUIDFromString(&constant, &guid), (ULONG)STATUS_INVALID_PARAMETER);
}

NOINLINE static void dates(void)
{
	TIME_FIELDS fields = { 0 };
	LARGE_INTEGER time = { 0 };
	ULONG seconds = 0;

	fields.Year = 2024;
	fields.Month = 2;
	fields.Day = 29;
	fields.Hour = 13;
	expect(130, RtlTimeFieldsToTime(&fields, &time), TRUE);
	expect(131, RtlTimeToSecondsSince1970(&time, &seconds), TRUE);
	expect(132, seconds, 1709211600);
	RtlTimeToTimeFields(&time, &fields);
	expect(133, fields.Day, 29);
	expect(134, fields.Weekday, 4);
	fields.Year = 2023;
	expect(135, RtlTimeFieldsToTime(&fields, &time), FALSE);
}

NOINLINE static void lists(void)
{
	LIST_ENTRY list, first, second;
	KSPIN_LOCK lock;
	ULONG count = 5;

	KeInitializeSpinLock(&lock);
	list.Flink = list.Blink = &list;
	expect(140, (ULONG64)ExInterlockedRemoveHeadList(&list, &lock), 0);
	expect(141, (ULONG64)ExInterlockedInsertTailList(&list, &second, &lock), 0);
	expect(142, (ULONG64)ExInterlockedInsertHeadList(&list, &first, &lock), (ULONG64)&second);
	expect(143, (ULONG64)ExInterlockedRemoveHeadList(&list, &lock), (ULONG64)&first);
	expect(144, (ULONG64)list.Flink, (ULONG64)&second);
	expect(145, ExInterlockedAddUlong(&count, 2, &lock), 5);
	expect(146, count, 7);
}

NOINLINE static void processors(void)
{
	ULONG count = NdisSystemProcessorCount();
	UNICODE_STRING name;
	PROCESSOR_NUMBER number;
	ULONG_PTR low, high;
	PVOID found;

	expect(150, count > 0, TRUE);
	expect(151, NdisGroupActiveProcessorCount(0), count);
	expect(152, KeQueryActiveProcessorCountEx(0), count);
	expect(153, (ULONG)KeGetProcessorNumberFromIndex(count - 1, &number), STATUS_SUCCESS);
	expect(154, KeGetProcessorIndexFromNumber(&number), count - 1);
	expect(155, (ULONG)KeGetProcessorNumberFromIndex(count, &number),
	       (ULONG)STATUS_INVALID_PARAMETER);
	IoGetStackLimits(&low, &high);
	expect(156, (ULONG_PTR)&low > low && (ULONG_PTR)&low < high, TRUE);
	RtlInitUnicodeString(&name, L"NdisGetVersion");
	found = NdisGetRoutineAddress(&name);
	expect(157, !found || ((ULONG (*)(void))found)() == NdisGetVersion(), TRUE);
	RtlInitUnicodeString(&name, L"KeGetCurrentIrql");
	expect(158, (ULONG64)NdisGetRoutineAddress(&name), 0);
	found = MmGetSystemRoutineAddress(&name);
	expect(159, !found || ((KIRQL (*)(void))found)() == PASSIVE_LEVEL, TRUE);
}

/* A device of the driver's own beside NDIS: made, found by its name, deleted. */
NOINLINE static void devices(void)
{
	UNICODE_STRING name, link;
	DEVICE_OBJECT *device, *second;

	RtlInitUnicodeString(&name, L"\\Device\\DeferlwfTrial");
	RtlInitUnicodeString(&link, L"\\DosDevices\\DeferlwfTrial");
	if (IoCreateDevice(filter_object, 16, &name, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN,
			   FALSE, &device) != STATUS_SUCCESS)
		return;
	expect(170, device->DeviceType, FILE_DEVICE_NETWORK);
	expect(171, device->DeviceExtension && *(ULONG64 *)device->DeviceExtension == 0, TRUE);
	expect(172, IoCreateDevice(filter_object, 0, &name, FILE_DEVICE_NETWORK, 0, FALSE, &second) ==
		    STATUS_SUCCESS, FALSE);
	if (IoCreateSymbolicLink(&link, &name) == STATUS_SUCCESS) {
		expect(173, IoCreateSymbolicLink(&link, &name) == STATUS_SUCCESS, FALSE);
		expect(174, (ULONG)IoDeleteSymbolicLink(&link), STATUS_SUCCESS);
	}
	expect(175, (ULONG)IoDeleteSymbolicLink(&link), (ULONG)STATUS_OBJECT_NAME_NOT_FOUND);
	IoDeleteDevice(device);
}

NOINLINE static void pools(void)
{
	NDIS_HANDLE pool = list_pool();

	if (pool)
		NdisFreeNetBufferListPool(pool);
}

/* Runs all trials. */
void library(void)
{
	strings();
	guids();
	dates();
	lists();
	processors();
	devices();
	pools();
	system_calls();
	security();
	text();
	runtime();
}
