/*
 * A device that provides a data block to WMI, and whoever asks for it: tried against what the pages of the functions
 * say. The driver stops the system where one differs. What can fail may fail.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)

IMPORT NTSTATUS IoWMIOpenBlock(const GUID *guid, ULONG access, void **object);
IMPORT NTSTATUS IoWMIQueryAllData(void *object, ULONG *size, void *out);
IMPORT ULONG PoSetPowerState(DEVICE_OBJECT *device, ULONG type, ULONG state);
IMPORT void PoStartNextPowerIrp(IRP *irp);

/* WMIREG_ACTION_… and WMIGUID_QUERY. */
enum { REGISTER = 1, DEREGISTER = 2, QUERY = 1 };
/* Where in a WNODE_HEADER, and in a WNODE_ALL_DATA. */
enum { FLAGS = 44, DATA = 64, FIXED_SIZE = 0x10 };

static const ULONG64 block[2] = { 0x4D0B31C77A1C4E52, 0x03A842770D5E119C };

static NTSTATUS describe(UCHAR *buffer, ULONG size, ULONG64 *information)
{
	WMIREGINFOW *info = (WMIREGINFOW *)buffer;
	WMIREGGUIDW *guid = (WMIREGGUIDW *)(info + 1);
	enum { NEEDED = 600 };

	/* More than WMI offers at first. */
	if (size < NEEDED) {
		*(ULONG *)buffer = NEEDED;
		*information = sizeof(ULONG);
		return STATUS_BUFFER_TOO_SMALL;
	}
	info->BufferSize = NEEDED;
	info->GuidCount = 1;
	guid->Guid = *(const GUID *)block;
	*information = NEEDED;
	return STATUS_SUCCESS;
}

static NTSTATUS all_data(UCHAR *buffer, ULONG size, ULONG64 *information)
{
	if (size < DATA + sizeof(ULONG))
		return STATUS_BUFFER_TOO_SMALL;
	*(ULONG *)buffer = DATA + sizeof(ULONG);
	*(ULONG *)(buffer + DATA) = 4711;
	*information = DATA + sizeof(ULONG);
	return STATUS_SUCCESS;
}

/* DRIVER_DISPATCH of IRP_MJ_SYSTEM_CONTROL. */
static NTSTATUS system_control(DEVICE_OBJECT *device, IRP *irp)
{
	IO_STACK_LOCATION *location = irp->Tail.Overlay.CurrentStackLocation;
	UCHAR *buffer = location->Parameters.WMI.Buffer;
	ULONG size = location->Parameters.WMI.BufferSize;
	ULONG64 information = 0;
	NTSTATUS status;

	expect(700, location->Parameters.WMI.ProviderId, (ULONG64)device);
	/* It does nothing any more. */
	PoStartNextPowerIrp(irp);
	switch (location->MinorFunction) {
	case IRP_MN_REGINFO_EX:
		status = describe(buffer, size, &information);
		break;
	case IRP_MN_QUERY_ALL_DATA:
		status = all_data(buffer, size, &information);
		break;
	default:
		status = STATUS_INVALID_DEVICE_REQUEST;
	}
	return request_end(irp, status, information);
}

/* Runs all trials. */
void provider_calls(void)
{
	ULONG room[20], size = 4;
	DEVICE_OBJECT *device;
	void *object;
	UCHAR volatile *event;

	if (IoCreateDevice(filter_object, 0, NULL, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN, FALSE, &device) !=
	    STATUS_SUCCESS)
		return;
	filter_object->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = system_control;
	/* DevicePowerState: D0, then D3. */
	expect(709, PoSetPowerState(device, 1, 1), 0);
	expect(710, PoSetPowerState(device, 1, 4), 1);
	expect(701, IoWMIOpenBlock((const GUID *)block, QUERY, &object) == STATUS_SUCCESS, FALSE);
	expect(702, IoWMIRegistrationControl(device, 77) == STATUS_SUCCESS, FALSE);
	if (IoWMIRegistrationControl(device, REGISTER) == STATUS_SUCCESS) {
		expect(703, (ULONG)IoWMIOpenBlock((const GUID *)block, QUERY, &object), STATUS_SUCCESS);
		expect(704, (ULONG)IoWMIQueryAllData(object, &size, room), (ULONG)STATUS_BUFFER_TOO_SMALL);
		expect(705, size, DATA + 4);
		expect(706, (ULONG)IoWMIQueryAllData(object, &size, room), STATUS_SUCCESS);
		expect(707, room[DATA / 4], 4711);
		ObfDereferenceObject(object);
		event = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, FILTER_TAG);
		if (event) {
			for (ULONG i = 0; i < 64; ++i)
				event[i] = 0;
			*(ULONG volatile *)event = 64;
			/* The event's memory goes with it. */
			if (IoWMIWriteEvent((PVOID)event) != STATUS_SUCCESS)
				ExFreePool((PVOID)event);
		}
		while (IoWMIRegistrationControl(device, DEREGISTER) != STATUS_SUCCESS)
			;
		expect(708, IoWMIOpenBlock((const GUID *)block, QUERY, &object) == STATUS_SUCCESS, FALSE);
	}
	IoDeleteDevice(device);
}
