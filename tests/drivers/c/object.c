/*
 * Objects by handle and name, and what the I/O manager keeps for a driver: tried against what the pages of the functions
 * say. The driver stops the system where one differs; what fails for want of memory ends a trial.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)
IMPORT KEVENT *IoCreateNotificationEvent(UNICODE_STRING *name, HANDLE *handle);
IMPORT NTSTATUS ZwResetEvent(HANDLE event, LONG *previous);
IMPORT NTSTATUS ZwClearEvent(HANDLE event);
IMPORT NTSTATUS ZwWaitForMultipleObjects(ULONG count, HANDLE *handles, ULONG type, BOOLEAN alertable, LARGE_INTEGER *timeout);
IMPORT NTSTATUS ZwOpenDirectoryObject(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes);
IMPORT NTSTATUS ZwCreateSymbolicLinkObject(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes,
					   UNICODE_STRING *target);
IMPORT NTSTATUS ZwOpenSymbolicLinkObject(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes);
IMPORT NTSTATUS ZwQuerySymbolicLinkObject(HANDLE handle, UNICODE_STRING *target, ULONG *length);
IMPORT NTSTATUS ZwDuplicateObject(HANDLE from, HANDLE source, HANDLE to, HANDLE *target, ULONG access, ULONG attributes,
				  ULONG options);
IMPORT NTSTATUS ZwYieldExecution(void);
IMPORT NTSTATUS ObQueryNameString(PVOID object, PVOID name, ULONG length, ULONG *needed);
IMPORT void IoInitializeRemoveLockEx(PVOID lock, ULONG tag, ULONG minutes, ULONG most, ULONG size);
IMPORT NTSTATUS IoAcquireRemoveLockEx(PVOID lock, PVOID tag, const char *file, ULONG line, ULONG size);
IMPORT void IoReleaseRemoveLockEx(PVOID lock, PVOID tag, ULONG size);
IMPORT void IoReleaseRemoveLockAndWaitEx(PVOID lock, PVOID tag, ULONG size);
IMPORT NTSTATUS IoInitializeTimer(DEVICE_OBJECT *device, PVOID routine, PVOID context);
IMPORT void IoStartTimer(DEVICE_OBJECT *device);
IMPORT void IoStopTimer(DEVICE_OBJECT *device);
IMPORT void IoSetShareAccess(ULONG access, ULONG sharing, FILE_OBJECT *file, PVOID share);
IMPORT NTSTATUS IoCheckShareAccess(ULONG access, ULONG sharing, FILE_OBJECT *file, PVOID share, BOOLEAN updates);
IMPORT void IoRemoveShareAccess(FILE_OBJECT *file, PVOID share);
IMPORT NTSTATUS IoRegisterPlugPlayNotification(ULONG category, ULONG flags, PVOID data, DRIVER_OBJECT *driver, PVOID routine,
					       PVOID context, PVOID *entry);
IMPORT NTSTATUS IoUnregisterPlugPlayNotificationEx(PVOID entry);
IMPORT BOOLEAN IoWithinStackLimits(ULONG64 start, ULONG64 size);
IMPORT ULONG64 IoGetRemainingStackSize(void);
IMPORT NTSTATUS ExCreateCallback(PVOID *object, OBJECT_ATTRIBUTES *attributes, BOOLEAN creates, BOOLEAN takes_many);
IMPORT PVOID ExRegisterCallback(PVOID object, PVOID routine, PVOID context);
IMPORT void ExUnregisterCallback(PVOID registration);
IMPORT void ExNotifyCallback(PVOID object, PVOID first, PVOID second);
IMPORT void IoRegisterDriverReinitialization(DRIVER_OBJECT *driver, PVOID routine, PVOID context);

NOINLINE static void events(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, NULL);
	LARGE_INTEGER soon = { .QuadPart = -10 };
	HANDLE handles[2], again;
	PVOID object;
	LONG previous = 7;

	if (!worked(500, ZwCreateEvent(&handles[0], 0, &it, NotificationEvent, FALSE)))
		return;
	it = attributes(NULL, &name, L"\\BaseNamedObjects\\DeferlwfTrial");
	if (worked(501, ZwCreateEvent(&handles[1], 0, &it, SynchronizationEvent, TRUE))) {
		failed(502, ZwCreateEvent(&again, 0, &it, SynchronizationEvent, TRUE), STATUS_OBJECT_NAME_COLLISION);
		expect(503, (ULONG)ZwWaitForMultipleObjects(2, handles, 0, FALSE, &soon), STATUS_TIMEOUT);
		expect(504, (ULONG)ZwWaitForMultipleObjects(2, handles, 1, FALSE, NULL), 1);
		expect(505, (ULONG)ZwWaitForSingleObject(handles[1], FALSE, &soon), STATUS_TIMEOUT);
		expect(506, (ULONG)ZwSetEvent(handles[1], &previous), STATUS_SUCCESS);
		expect(507, (ULONG)previous, 0);
		if (ZwOpenEvent(&again, 0, &it) == STATUS_SUCCESS) {
			expect(508, (ULONG)ZwResetEvent(again, &previous), STATUS_SUCCESS);
			expect(509, (ULONG)previous, 1);
			ZwClose(again);
		}
		ZwClose(handles[1]);
		failed(510, ZwOpenEvent(&again, 0, &it), STATUS_OBJECT_NAME_NOT_FOUND);
	}
	if (worked(511, ObReferenceObjectByHandle(handles[0], 0, NULL, KernelMode, &object, NULL))) {
		if (worked(512, ZwDuplicateObject((HANDLE)-1, handles[0], (HANDLE)-1, &again, 0, OBJ_KERNEL_HANDLE, 2))) {
			expect(513, (ULONG)ZwSetEvent(again, NULL), STATUS_SUCCESS);
			expect(514, (ULONG)ZwClearEvent(again), STATUS_SUCCESS);
			ZwClose(again);
		}
		if (worked(515, ObOpenObjectByPointer(object, OBJ_KERNEL_HANDLE, NULL, 0, NULL, KernelMode, &again)))
			ObCloseHandle(again, KernelMode);
		ZwClose(handles[0]);
		/* The reference keeps it. */
		KeSetEvent(object, 0, FALSE);
		expect(516, (ULONG)KeReadStateEvent(object), 1);
		ObfDereferenceObject(object);
	} else {
		ZwClose(handles[0]);
	}
	ZwYieldExecution();
}

NOINLINE static void shared_event(void)
{
	struct {
		UNICODE_STRING name;
		WCHAR room[40];
	} of;
	UNICODE_STRING name;
	HANDLE handle;
	KEVENT *event;
	ULONG needed = 0;

	RtlInitUnicodeString(&name, L"\\BaseNamedObjects\\DeferlwfShared");
	event = IoCreateNotificationEvent(&name, &handle);
	if (!event)
		return;
	/* A new one is set. */
	expect(520, (ULONG)KeReadStateEvent(event), 1);
	expect(521, (ULONG)ObQueryNameString(event, NULL, 0, &needed), (ULONG)STATUS_INFO_LENGTH_MISMATCH);
	expect(522, needed, sizeof(UNICODE_STRING) + name.Length + 2);
	expect(523, (ULONG)ObQueryNameString(event, &of, sizeof(of), &needed), STATUS_SUCCESS);
	expect(524, of.name.Length, name.Length);
	ZwClose(handle);
}

NOINLINE static void names(void)
{
	WCHAR room[32];
	UNICODE_STRING name, target, answer;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\DeferlwfFolder");
	HANDLE folder, link, again;
	ULONG length = 0;

	answer.Length = 0;
	answer.MaximumLength = sizeof(room);
	answer.Buffer = room;
	if (!worked(530, ZwCreateDirectoryObject(&folder, 0, &it)))
		return;
	failed(531, ZwOpenSymbolicLinkObject(&again, 0, &it), STATUS_OBJECT_TYPE_MISMATCH);
	if (worked(532, ZwOpenDirectoryObject(&again, 0, &it)))
		ZwClose(again);
	it = attributes(folder, &name, L"Link");
	RtlInitUnicodeString(&target, L"\\Device\\Null");
	if (worked(533, ZwCreateSymbolicLinkObject(&link, 0, &it, &target))) {
		it = attributes(NULL, &name, L"\\DEFERLWFFOLDER\\link");
		if (worked(534, ZwOpenSymbolicLinkObject(&again, 0, &it))) {
			expect(535, (ULONG)ZwQuerySymbolicLinkObject(again, &answer, &length), STATUS_SUCCESS);
			expect(536, answer.Length, target.Length);
			expect(537, length, target.Length);
			ZwClose(again);
		}
		ZwClose(link);
		failed(538, ZwOpenSymbolicLinkObject(&again, 0, &it), STATUS_OBJECT_NAME_NOT_FOUND);
	}
	ZwClose(folder);
}

/* IO_REMOVE_LOCK of a free build. */
typedef struct REMOVE_LOCK {
	ULONG64 words[4];
} REMOVE_LOCK;

NOINLINE static void remove_locks(void)
{
	REMOVE_LOCK lock;
	ULONG size = sizeof(lock);
	int first, second;

	IoInitializeRemoveLockEx(&lock, FILTER_TAG, 0, 0, size);
	expect(540, (ULONG)IoAcquireRemoveLockEx(&lock, &first, "", 1, size), STATUS_SUCCESS);
	expect(541, (ULONG)IoAcquireRemoveLockEx(&lock, &second, "", 1, size), STATUS_SUCCESS);
	IoReleaseRemoveLockEx(&lock, &first, size);
	IoReleaseRemoveLockAndWaitEx(&lock, &second, size);
	expect(542, (ULONG)IoAcquireRemoveLockEx(&lock, &first, "", 1, size), (ULONG)STATUS_DELETE_PENDING);
}

NOINLINE static void kept(void)
{
	static int id;
	static PVOID extension;
	PVOID again = &again, entry;

	/* It stays until the driver object goes. */
	if (worked(550, IoAllocateDriverObjectExtension(filter_object, &id, 16, &extension))) {
		expect(551, (ULONG64)IoGetDriverObjectExtension(filter_object, &id), (ULONG64)extension);
		failed(552, IoAllocateDriverObjectExtension(filter_object, &id, 16, &again), STATUS_OBJECT_NAME_COLLISION);
	}
	expect(555, (ULONG)IoAllocateDriverObjectExtension(filter_object, &again, 0xFFFFFFFF, &again),
	       (ULONG)STATUS_INSUFFICIENT_RESOURCES);
	expect(553, (ULONG64)IoGetDriverObjectExtension(filter_object, &extension), 0);
	entry = IoAllocateErrorLogEntry(filter_object, 0x30);
	if (entry)
		IoWriteErrorLogEntry(entry);
	entry = IoAllocateErrorLogEntry(filter_object, 0xF0);
	if (entry)
		IoFreeErrorLogEntry(entry);
	expect(554, (ULONG64)IoAllocateErrorLogEntry(filter_object, 0xF8), 0);
}

NOINLINE static void sharing(void)
{
	FILE_OBJECT first = { 0 }, second = { 0 };
	ULONG share[7];

	IoSetShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &first, share);
	expect(560, first.ReadAccess, TRUE);
	expect(561, (ULONG)IoCheckShareAccess(FILE_WRITE_DATA, FILE_SHARE_READ, &second, share, FALSE),
	       (ULONG)STATUS_SHARING_VIOLATION);
	expect(562, (ULONG)IoCheckShareAccess(FILE_READ_DATA, 0, &second, share, FALSE), (ULONG)STATUS_SHARING_VIOLATION);
	expect(563, (ULONG)IoCheckShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &second, share, TRUE), STATUS_SUCCESS);
	expect(564, share[0], 2);
	IoRemoveShareAccess(&second, share);
	IoRemoveShareAccess(&first, share);
	expect(565, share[0], 0);
}

static void called(PVOID context, PVOID first, PVOID second)
{
	expect(570, (ULONG64)first, 1);
	expect(571, (ULONG64)second, 2);
	++*(ULONG *)context;
}

NOINLINE static void callbacks(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\Callback\\DeferlwfTrial");
	PVOID object, registration;
	ULONG calls = 0;

	if (ExCreateCallback(&object, &it, TRUE, FALSE) != STATUS_SUCCESS)
		return;
	registration = ExRegisterCallback(object, called, &calls);
	if (registration) {
		expect(572, (ULONG64)ExRegisterCallback(object, called, &calls), 0);
		ExNotifyCallback(object, (PVOID)1, (PVOID)2);
		expect(573, calls, 1);
		ExUnregisterCallback(registration);
		ExNotifyCallback(object, (PVOID)1, (PVOID)2);
		expect(574, calls, 1);
	}
	ObfDereferenceObject(object);
	it = attributes(NULL, &name, L"\\Callback\\SetSystemTime");
	if (worked(575, ExCreateCallback(&object, &it, FALSE, TRUE)))
		ObfDereferenceObject(object);
}

NOINLINE static void notifications(DEVICE_OBJECT *device)
{
	PVOID entry;

	if (worked(580, IoRegisterShutdownNotification(device)))
		IoUnregisterShutdownNotification(device);
	/* EventCategoryHardwareProfileChange */
	if (worked(581, IoRegisterPlugPlayNotification(1, 0, NULL, filter_object, called, NULL, &entry)))
		expect(582, (ULONG)IoUnregisterPlugPlayNotificationEx(entry), STATUS_SUCCESS);
	expect(583, IoWithinStackLimits((ULONG64)&entry, sizeof(entry)), TRUE);
	expect(584, IoWithinStackLimits((ULONG64)device, 1), FALSE);
	expect(585, IoGetRemainingStackSize() > 4096, TRUE);
}

/* A folder read as a list, and its volume. */
NOINLINE static void folders(void)
{
	UNICODE_STRING name, pattern;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\SystemRoot");
	ULONG options = FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE;
	IO_STATUS_BLOCK block;
	UCHAR room[256];
	HANDLE folder;

	if (!worked(600, ZwOpenFile(&folder, FILE_LIST_DIRECTORY | SYNCHRONIZE, &it, &block, FILE_SHARE_READ, options)))
		return;
	RtlInitUnicodeString(&pattern, L"Sys*");
	/* FileNamesInformation */
	if (worked(601, ZwQueryDirectoryFile(folder, NULL, NULL, NULL, &block, room, sizeof(room), 12, FALSE, &pattern, FALSE))) {
		expect(602, *(ULONG *)room, 0);
		expect(603, *(ULONG *)(room + 8), 16);
		expect(604, *(WCHAR *)(room + 12), L'S');
		failed(605, ZwQueryDirectoryFile(folder, NULL, NULL, NULL, &block, room, sizeof(room), 12, FALSE, NULL, FALSE),
		       (NTSTATUS)0x80000006);
		failed(606, ZwQueryDirectoryFile(folder, NULL, NULL, NULL, &block, room, 4, 12, FALSE, NULL, FALSE),
		       STATUS_INFO_LENGTH_MISMATCH);
	}
	/* FileFsSizeInformation */
	if (worked(607, ZwQueryVolumeInformationFile(folder, &block, room, sizeof(room), 3)))
		expect(608, block.Information, 24);
	failed(609, ZwQueryVolumeInformationFile(folder, &block, room, 4, 3), STATUS_INFO_LENGTH_MISMATCH);
	ZwClose(folder);
}

/* Our own device, as others ask it. */
NOINLINE static void own_device(void)
{
	UNICODE_STRING name;
	OBJECT_ATTRIBUTES it = attributes(NULL, &name, L"\\Device\\DeferlwfFilterInC");
	IO_STATUS_BLOCK block;
	UCHAR input[2] = { 1, 2 }, output[2] = { 0 };
	FILE_OBJECT *object;
	HANDLE file;

	if (!worked(610, ZwCreateFile(&file, GENERIC_READ | SYNCHRONIZE, &it, &block, NULL, FILE_ATTRIBUTE_NORMAL, 0,
				      FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0)))
		return;
	if (worked(611, ZwDeviceIoControlFile(file, NULL, NULL, NULL, &block, 0x80002000 | METHOD_OUT_DIRECT, input, 2, output,
					      2))) {
		expect(612, block.Information, 2);
		expect(613, output[1], (UCHAR)~2);
	}
	expect(616, (ULONG)ZwDeviceIoControlFile(file, NULL, NULL, NULL, &block, 0x80002000, NULL, 0, output, 0xFFFFFFFF),
	       (ULONG)STATUS_INSUFFICIENT_RESOURCES);
	if (worked(614, ObReferenceObjectByHandle(file, 0, NULL, KernelMode, (PVOID *)&object, NULL))) {
		expect(615, (ULONG64)object->DeviceObject, (ULONG64)filter_device);
		ObfDereferenceObject(object);
	}
	ZwClose(file);
}

static volatile LONG ticks;

/* IO_TIMER_ROUTINE */
static void tick(DEVICE_OBJECT *device, PVOID context)
{
	(void)device;
	expect(590, (ULONG64)context, (ULONG64)&ticks);
	expect(591, KeGetCurrentIrql(), DISPATCH_LEVEL);
	ticks++;
}

/* DRIVER_REINITIALIZE */
static void again(DRIVER_OBJECT *driver, PVOID context, ULONG count)
{
	expect(592, (ULONG64)driver, (ULONG64)filter_object);
	expect(593, count, 1);
	*(volatile LONG *)context = 1;
}

static volatile LONG reinitialized;
static BOOLEAN has_timer;

/* At load. */
void object_begin(DEVICE_OBJECT *device)
{
	IoRegisterDriverReinitialization(filter_object, again, (PVOID)&reinitialized);
	has_timer = device && IoInitializeTimer(device, tick, (PVOID)&ticks) == STATUS_SUCCESS;
	if (has_timer)
		IoStartTimer(device);
}

/* At unload: the timer has come once a second. */
void object_end(DEVICE_OBJECT *device)
{
	LARGE_INTEGER wait = { .QuadPart = -11000000 };

	if (!has_timer)
		return;
	KeDelayExecutionThread(KernelMode, FALSE, &wait);
	expect(594, ticks > 0, TRUE);
	/* Not after a failed start. */
	expect(595, (ULONG)reinitialized, filter_driver != NULL);
	IoStopTimer(device);
}

/* Runs all trials. */
void objects(DEVICE_OBJECT *device)
{
	events();
	shared_event();
	names();
	remove_locks();
	kept();
	sharing();
	callbacks();
	folders();
	manager_calls(device);
	if (!device)
		return;
	notifications(device);
	own_device();
}
