/*
 * What the I/O and object managers have besides, in the same way as `object.c`: files by other names, references with tags,
 * and devices that no bus has found.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)
IMPORT KEVENT *IoCreateSynchronizationEvent(UNICODE_STRING *name, HANDLE *handle);
IMPORT NTSTATUS NtCreateFile(HANDLE *file, ULONG access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *block,
			     LARGE_INTEGER *size, ULONG kind, ULONG sharing, ULONG disposition, ULONG options, PVOID extended,
			     ULONG length);
IMPORT NTSTATUS NtReadFile(HANDLE file, HANDLE event, PVOID routine, PVOID context, IO_STATUS_BLOCK *block, PVOID buffer,
			   ULONG length, LARGE_INTEGER *offset, ULONG *key);
IMPORT NTSTATUS NtWriteFile(HANDLE file, HANDLE event, PVOID routine, PVOID context, IO_STATUS_BLOCK *block, PVOID buffer,
			    ULONG length, LARGE_INTEGER *offset, ULONG *key);
IMPORT NTSTATUS NtClose(HANDLE handle);
IMPORT NTSTATUS IoRegisterLastChanceShutdownNotification(DEVICE_OBJECT *device);
IMPORT NTSTATUS IoRegisterPlugPlayNotification(ULONG category, ULONG flags, PVOID data, DRIVER_OBJECT *driver, PVOID routine,
					       PVOID context, PVOID *entry);
IMPORT NTSTATUS IoUnregisterPlugPlayNotification(PVOID entry);
IMPORT void IoSetShareAccess(ULONG access, ULONG sharing, FILE_OBJECT *file, PVOID share);
IMPORT void IoUpdateShareAccess(FILE_OBJECT *file, PVOID share);
IMPORT void IoRemoveShareAccess(FILE_OBJECT *file, PVOID share);
IMPORT PVOID IoThreadToProcess(PVOID thread);
IMPORT PVOID IoGetInitialStack(void);
IMPORT NTSTATUS IoCreateUnprotectedSymbolicLink(UNICODE_STRING *link, UNICODE_STRING *target);
IMPORT NTSTATUS IoGetDeviceNumaNode(DEVICE_OBJECT *device, USHORT *node);
IMPORT NTSTATUS IoGetDeviceProperty(DEVICE_OBJECT *device, ULONG property, ULONG length, PVOID buffer, ULONG *needed);
IMPORT NTSTATUS IoRegisterDeviceInterface(DEVICE_OBJECT *device, const GUID *kind, UNICODE_STRING *text, UNICODE_STRING *name);
IMPORT NTSTATUS IoGetDeviceInterfaces(const GUID *kind, DEVICE_OBJECT *device, ULONG flags, WCHAR **list);

#define TAG 0x20676174
#define OPTIONS (FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE)

NOINLINE static void synchronization(void)
{
	LARGE_INTEGER soon = { .QuadPart = -10 };
	UNICODE_STRING name;
	HANDLE handle;
	KEVENT *event;
	PVOID object;

	RtlInitUnicodeString(&name, L"\\BaseNamedObjects\\DeferlwfTurn");
	event = IoCreateSynchronizationEvent(&name, &handle);
	if (!event)
		return;
	/* A new one is set, and lets one through. */
	expect(810, (ULONG)KeWaitForSingleObject(event, Executive, KernelMode, FALSE, &soon), STATUS_SUCCESS);
	expect(811, (ULONG)KeWaitForSingleObject(event, Executive, KernelMode, FALSE, &soon), STATUS_TIMEOUT);
	if (worked(812, ObReferenceObjectByHandleWithTag(handle, 0, NULL, KernelMode, TAG, &object, NULL))) {
		expect(813, (ULONG64)object, (ULONG64)event);
		ObfReferenceObjectWithTag(object, TAG);
		ObfDereferenceObjectWithTag(object, TAG);
		ObfDereferenceObjectWithTag(object, TAG);
	}
	ZwClose(handle);
}

NOINLINE static void files(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\SystemRoot\\Temp\\deferlwf-manager.log");
	UCHAR written[4] = { 1, 2, 3, 4 }, read[4] = { 0 };
	LARGE_INTEGER start = { .QuadPart = 0 };
	IO_STATUS_BLOCK block;
	HANDLE file;

	if (!worked(820, IoCreateFile(&file, GENERIC_WRITE | SYNCHRONIZE, &it, &block, NULL, FILE_ATTRIBUTE_NORMAL, 0,
				      FILE_OVERWRITE_IF, OPTIONS, NULL, 0, 0, NULL, 0)))
		return;
	if (worked(821, NtWriteFile(file, NULL, NULL, NULL, &block, written, sizeof(written), NULL, NULL)))
		expect(822, block.Information, sizeof(written));
	expect(824, (ULONG)NtClose(file), STATUS_SUCCESS);
	if (worked(825, NtCreateFile(&file, GENERIC_READ | SYNCHRONIZE, &it, &block, NULL, FILE_ATTRIBUTE_NORMAL, 0, FILE_OPEN,
				     OPTIONS, NULL, 0))) {
		if (worked(826, NtReadFile(file, NULL, NULL, NULL, &block, read, sizeof(read), &start, NULL)))
			expect(827, *(ULONG *)read, *(ULONG *)written);
		NtClose(file);
	}
	/* Nobody else may have it. */
	if (worked(828, IoCreateFileEx(&file, DELETE | SYNCHRONIZE, &it, &block, NULL, FILE_ATTRIBUTE_NORMAL, 0, FILE_OPEN,
				       OPTIONS, NULL, 0, 0, NULL, 0, NULL))) {
		HANDLE second;

		failed(829, NtCreateFile(&second, GENERIC_READ | SYNCHRONIZE, &it, &block, NULL, FILE_ATTRIBUTE_NORMAL, 0,
					 FILE_OPEN, OPTIONS, NULL, 0), STATUS_SHARING_VIOLATION);
		NtClose(file);
	}
	ZwDeleteFile(&it);
}

NOINLINE static void temporary(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\DeferlwfPermanent");
	HANDLE folder;

	it.Attributes |= OBJ_PERMANENT;
	if (!worked(830, ZwCreateDirectoryObject(&folder, 0, &it)))
		return;
	expect(831, (ULONG)ZwMakeTemporaryObject(folder), STATUS_SUCCESS);
	ZwClose(folder);
}

NOINLINE static void shares(void)
{
	FILE_OBJECT first = { 0 }, second = { 0 };
	ULONG share[7];

	IoSetShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &first, share);
	second.ReadAccess = second.SharedRead = TRUE;
	IoUpdateShareAccess(&second, share);
	expect(840, share[0], 2);
	IoRemoveShareAccess(&second, share);
	IoRemoveShareAccess(&first, share);
	expect(841, share[0], 0);
}

/* PDRIVER_NOTIFICATION_CALLBACK_ROUTINE */
static NTSTATUS changed(PVOID notification, PVOID context)
{
	(void)notification;
	(void)context;
	return STATUS_SUCCESS;
}

NOINLINE static void devices(DEVICE_OBJECT *device)
{
	static const UCHAR kind[16] = { 1 };
	UNICODE_STRING link, target, name;
	USHORT node;
	ULONG needed;
	WCHAR *list;
	PVOID entry;

	if (worked(850, IoRegisterLastChanceShutdownNotification(device)))
		IoUnregisterShutdownNotification(device);
	/* EventCategoryHardwareProfileChange */
	if (worked(851, IoRegisterPlugPlayNotification(1, 0, NULL, filter_object, changed, NULL, &entry)))
		expect(852, (ULONG)IoUnregisterPlugPlayNotification(entry), STATUS_SUCCESS);
	RtlInitUnicodeString(&link, L"\\DosDevices\\DeferlwfUnprotected");
	RtlInitUnicodeString(&target, L"\\Device\\DeferlwfFilterInC");
	if (worked(853, IoCreateUnprotectedSymbolicLink(&link, &target)))
		expect(854, (ULONG)IoDeleteSymbolicLink(&link), STATUS_SUCCESS);
	expect(855, IoThreadToProcess(KeGetCurrentThread()) != NULL, TRUE);
	expect(856, (ULONG64)IoGetInitialStack() > (ULONG64)&entry, TRUE);
	/* No bus has found it. */
	expect(857, IoGetDeviceNumaNode(device, &node) == STATUS_SUCCESS, FALSE);
	expect(858, (ULONG)IoGetDeviceProperty(device, 0, 0, NULL, &needed), (ULONG)STATUS_INVALID_DEVICE_REQUEST);
	expect(859, (ULONG)IoRegisterDeviceInterface(device, (const GUID *)kind, NULL, &name), (ULONG)STATUS_INVALID_DEVICE_REQUEST);
	if (IoGetDeviceInterfaces((const GUID *)kind, NULL, 0, &list) == STATUS_SUCCESS) {
		expect(860, list[0], 0);
		ExFreePool(list);
	}
}

/* Runs all trials. */
void manager_calls(DEVICE_OBJECT *device)
{
	synchronization();
	files();
	temporary();
	shares();
	if (device)
		devices(device);
}
