/*
 * Requests that the filter makes itself: to a stack of two devices of its own, and to one of the system's. Tried against
 * what the pages of the functions say; the driver stops the system where one differs, and what fails for want of memory
 * ends a trial.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)
IMPORT IRP *IoBuildSynchronousFsdRequest(ULONG major, DEVICE_OBJECT *device, PVOID buffer, ULONG length,
					 LARGE_INTEGER *offset, KEVENT *event, IO_STATUS_BLOCK *block);
IMPORT IRP *IoBuildAsynchronousFsdRequest(ULONG major, DEVICE_OBJECT *device, PVOID buffer, ULONG length,
					  LARGE_INTEGER *offset, IO_STATUS_BLOCK *block);
IMPORT DEVICE_OBJECT *IoAttachDeviceToDeviceStack(DEVICE_OBJECT *source, DEVICE_OBJECT *target);
IMPORT NTSTATUS IoAttachDeviceToDeviceStackSafe(DEVICE_OBJECT *source, DEVICE_OBJECT *target, DEVICE_OBJECT **lower);
IMPORT NTSTATUS IoAttachDevice(DEVICE_OBJECT *source, UNICODE_STRING *target, DEVICE_OBJECT **lower);
IMPORT void IoDetachDevice(DEVICE_OBJECT *target);
IMPORT DEVICE_OBJECT *IoGetAttachedDeviceReference(DEVICE_OBJECT *device);
IMPORT DEVICE_OBJECT *IoGetRelatedDeviceObject(FILE_OBJECT *file);
IMPORT BOOLEAN IoIsOperationSynchronous(IRP *irp);
IMPORT IRP *IoGetTopLevelIrp(void);
IMPORT void IoSetTopLevelIrp(IRP *irp);

#define CODE(function, method) (0x8000u << 16 | (function) << 2 | (method))
#define CODE_TURN CODE(0x801, METHOD_BUFFERED)
#define CODE_TURN_OUT CODE(0x801, METHOD_OUT_DIRECT)
#define CODE_TURN_NEITHER CODE(0x801, METHOD_NEITHER)
/* Waits in the queue of `queue.c`. */
#define CODE_LATER CODE(0x802, METHOD_BUFFERED)

/* How a device passes on what it gets. */
enum { AS_IT_IS, WITH_ROUTINE, AND_WAIT };

/* The extension of one of the two devices. */
typedef struct LAYER {
	ULONG64 mark;
	DEVICE_OBJECT *lower;
	ULONG way;
	ULONG seen;
} LAYER;

#define LAYER_MARK 0x726579614c706972

static LAYER *layer_of(DEVICE_OBJECT *device)
{
	return device->DeviceExtension;
}

BOOLEAN irp_is_ours(DEVICE_OBJECT *device)
{
	return device->Size == sizeof(DEVICE_OBJECT) && device->DeviceExtension &&
	       layer_of(device)->mark == LAYER_MARK;
}

static IO_STACK_LOCATION *next_of(IRP *irp)
{
	return irp->Tail.Overlay.CurrentStackLocation - 1;
}

/* What IoSetCompletionRoutine does. */
static void set_routine(IRP *irp, PIO_COMPLETION_ROUTINE routine, PVOID context)
{
	next_of(irp)->CompletionRoutine = routine;
	next_of(irp)->Context = context;
	next_of(irp)->Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
}

static void mark_pending(IRP *irp)
{
	irp->Tail.Overlay.CurrentStackLocation->Control |= SL_PENDING_RETURNED;
}

/* What IoCopyCurrentIrpStackLocationToNext does. */
static void copy_to_next(IRP *irp)
{
	memcpy(next_of(irp), irp->Tail.Overlay.CurrentStackLocation,
	       __builtin_offsetof(IO_STACK_LOCATION, CompletionRoutine));
	next_of(irp)->Control = 0;
}

/* The routine of a device that only looks. */
static NTSTATUS seen(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	expect(400, (ULONG64)layer_of(device), (ULONG64)context);
	layer_of(device)->seen++;
	if (irp->PendingReturned)
		mark_pending(irp);
	return STATUS_SUCCESS;
}

/* That of one that waits for the devices below, and then goes on itself. */
static NTSTATUS signal(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	if (irp->PendingReturned)
		KeSetEvent(context, 0, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

static NTSTATUS pass_on(DEVICE_OBJECT *device, IRP *irp)
{
	LAYER *layer = layer_of(device);
	KEVENT event;
	NTSTATUS status;

	if (layer->way == AS_IT_IS) {
		irp->CurrentLocation++;
		irp->Tail.Overlay.CurrentStackLocation++;
		return IofCallDriver(layer->lower, irp);
	}
	copy_to_next(irp);
	if (layer->way == WITH_ROUTINE) {
		set_routine(irp, seen, layer);
		return IofCallDriver(layer->lower, irp);
	}
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	set_routine(irp, signal, &event);
	if (IofCallDriver(layer->lower, irp) == STATUS_PENDING)
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	/* It is ours again. */
	status = irp->IoStatus.Status;
	return request_end(irp, status, irp->IoStatus.Information);
}

/* Turns every byte round, from one place to another. */
static ULONG turn(UCHAR *to, const UCHAR *from, ULONG room, ULONG length)
{
	ULONG count = room < length ? room : length;

	for (ULONG i = 0; i < count; i++)
		to[i] = (UCHAR)~from[i];
	return count;
}

static NTSTATUS answer_control(IRP *irp, IO_STACK_LOCATION *location)
{
	ULONG in = location->Parameters.DeviceIoControl.InputBufferLength;
	ULONG out = location->Parameters.DeviceIoControl.OutputBufferLength;
	UCHAR *from = irp->AssociatedIrp.SystemBuffer, *to = from;

	switch (location->Parameters.DeviceIoControl.IoControlCode) {
	case CODE_LATER:
		return queue_request(irp);
	case CODE_TURN:
		break;
	case CODE_TURN_OUT:
		to = mdl_address(irp->MdlAddress);
		if (!to)
			return request_end(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
		break;
	default:
		from = location->Parameters.DeviceIoControl.Type3InputBuffer;
		to = irp->UserBuffer;
	}
	return request_end(irp, STATUS_SUCCESS, turn(to, from, out, in));
}

/* A read gives the low byte of its offset, so often. */
static NTSTATUS answer_read(DEVICE_OBJECT *device, IRP *irp, IO_STACK_LOCATION *location)
{
	ULONG length = location->Parameters.Read.Length;
	UCHAR *to = device->Flags & DO_BUFFERED_IO ? irp->AssociatedIrp.SystemBuffer :
		    device->Flags & DO_DIRECT_IO ? mdl_address(irp->MdlAddress) : irp->UserBuffer;

	if (!to)
		return request_end(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	for (ULONG i = 0; i < length; i++)
		to[i] = (UCHAR)location->Parameters.Read.ByteOffset.QuadPart;
	return request_end(irp, STATUS_SUCCESS, length);
}

NTSTATUS irp_dispatch(DEVICE_OBJECT *device, IRP *irp)
{
	IO_STACK_LOCATION *location = irp->Tail.Overlay.CurrentStackLocation;

	if (layer_of(device)->lower)
		return pass_on(device, irp);
	expect(401, (ULONG64)location->DeviceObject, (ULONG64)device);
	switch (location->MajorFunction) {
	case IRP_MJ_DEVICE_CONTROL:
		expect(402, IoIsOperationSynchronous(irp),
		       (location->Parameters.DeviceIoControl.IoControlCode & 3) == METHOD_BUFFERED);
		return answer_control(irp, location);
	case IRP_MJ_READ:
		return answer_read(device, irp, location);
	default:
		return request_end(irp, STATUS_NOT_SUPPORTED, 0);
	}
}

/* Sends a request of the system's making, and waits for it; gives how it has ended. */
static NTSTATUS ask(DEVICE_OBJECT *device, IRP *irp, KEVENT *event, IO_STATUS_BLOCK *block)
{
	NTSTATUS status = IofCallDriver(device, irp);

	if (status == STATUS_PENDING)
		KeWaitForSingleObject(event, Executive, KernelMode, FALSE, NULL);
	else
		expect(410, (ULONG)block->Status, (ULONG)status);
	expect(411, (ULONG)KeReadStateEvent(event), 1);
	return block->Status;
}

NOINLINE static void control(DEVICE_OBJECT *device, ULONG code)
{
	UCHAR input[5] = { 1, 2, 3, 4, 5 }, output[4] = { 0 };
	IO_STATUS_BLOCK block = { .Information = 77 };
	KEVENT event;
	NTSTATUS status;
	IRP *irp;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	irp = IoBuildDeviceIoControlRequest(code, device, input, sizeof(input), output, sizeof(output), FALSE, &event,
					    &block);
	if (!irp)
		return;
	expect(420, irp->StackCount, device->StackSize);
	expect(421, irp->RequestorMode, KernelMode);
	status = ask(device, irp, &event, &block);
	if (status == STATUS_INSUFFICIENT_RESOURCES)
		return;
	expect(422, (ULONG)status, STATUS_SUCCESS);
	if (code == CODE_LATER) {
		expect(423, block.Information, 0);
		return;
	}
	expect(424, block.Information, sizeof(output));
	expect(425, output[3], (UCHAR)~4);
}

/* A read that the system ends, and one that we do. */
static NTSTATUS read_done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	if (irp->MdlAddress) {
		MmUnlockPages(irp->MdlAddress);
		IoFreeMdl(irp->MdlAddress);
	}
	if (irp->AssociatedIrp.SystemBuffer)
		ExFreePool(irp->AssociatedIrp.SystemBuffer);
	IoFreeIrp(irp);
	KeSetEvent(context, 0, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

NOINLINE static void reads(DEVICE_OBJECT *device)
{
	UCHAR *buffer = ExAllocatePool2(POOL_FLAG_NON_PAGED, 16, FILTER_TAG);
	LARGE_INTEGER offset = { .QuadPart = 0x15A };
	IO_STATUS_BLOCK block;
	KEVENT event;
	IRP *irp;

	if (!buffer)
		return;
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, device, buffer, 16, &offset, &event, &block);
	if (irp && ask(device, irp, &event, &block) == STATUS_SUCCESS) {
		expect(430, block.Information, 16);
		expect(431, buffer[15], 0x5A);
	}
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	irp = IoBuildAsynchronousFsdRequest(IRP_MJ_READ, device, buffer, 8, &offset, &block);
	if (irp) {
		set_routine(irp, read_done, &event);
		IofCallDriver(device, irp);
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	}
	ExFreePoolWithTag(buffer, FILTER_TAG);
}

/* The completion routine of our own requests: they stay ours. */
static NTSTATUS came_back(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	expect(440, (ULONG64)device, 0);
	(void)irp;
	KeSetEvent(context, 0, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

static void fill_later(IRP *irp)
{
	next_of(irp)->MajorFunction = IRP_MJ_DEVICE_CONTROL;
	next_of(irp)->Parameters.DeviceIoControl.IoControlCode = CODE_LATER;
}

/* Sends one of our own that waits, and may be cancelled meanwhile. */
static void send_own(DEVICE_OBJECT *device, IRP *irp, BOOLEAN is_cancelled)
{
	KEVENT event;
	NTSTATUS status;
	BOOLEAN has_ended;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	fill_later(irp);
	set_routine(irp, came_back, &event);
	status = IofCallDriver(device, irp);
	if (is_cancelled && status == STATUS_PENDING)
		/* Our completion routine leaves it to us, so it is there. */
		has_ended = IoCancelIrp(irp);
	else
		has_ended = status != STATUS_PENDING;
	(void)has_ended;
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	status = irp->IoStatus.Status;
	if (!is_cancelled)
		expect(441, (ULONG)status, STATUS_SUCCESS);
	else if (status != STATUS_SUCCESS)
		expect(442, (ULONG)status, (ULONG)STATUS_CANCELLED);
}

NOINLINE static void own_requests(DEVICE_OBJECT *device)
{
	ULONG size = sizeof(IRP) + device->StackSize * sizeof(IO_STACK_LOCATION);
	IRP *irp = IoAllocateIrp(device->StackSize, FALSE);

	if (irp) {
		expect(450, irp->CurrentLocation, device->StackSize + 1);
		send_own(device, irp, FALSE);
		IoReuseIrp(irp, STATUS_NOT_SUPPORTED);
		expect(451, (ULONG)irp->IoStatus.Status, (ULONG)STATUS_NOT_SUPPORTED);
		send_own(device, irp, TRUE);
		IoFreeIrp(irp);
	}
	irp = ExAllocatePool2(POOL_FLAG_NON_PAGED, size, FILTER_TAG);
	if (irp) {
		IoInitializeIrp(irp, (USHORT)size, device->StackSize);
		expect(452, irp->Size, size);
		send_own(device, irp, TRUE);
		ExFreePoolWithTag(irp, FILTER_TAG);
	}
}

/* Nobody has it when this has returned. */
static NTSTATUS write_done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	if (!irp->Cancel) {
		expect(460, (ULONG)irp->IoStatus.Status, STATUS_SUCCESS);
		expect(461, irp->IoStatus.Information, 4);
	}
	KeSetEvent(context, 0, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

/* The system's device. */
NOINLINE static void others(DEVICE_OBJECT *own)
{
	UNICODE_STRING name;
	DEVICE_OBJECT *device, *lower;
	FILE_OBJECT *file;
	KEVENT event;
	IRP *irp;

	RtlInitUnicodeString(&name, L"\\Device\\Nothing");
	expect(470, IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &file, &device) == STATUS_SUCCESS, FALSE);
	RtlInitUnicodeString(&name, L"\\Device\\Null");
	if (IoGetDeviceObjectPointer(&name, FILE_READ_DATA, &file, &device) != STATUS_SUCCESS)
		return;
	expect(471, (ULONG64)IoGetRelatedDeviceObject(file), (ULONG64)device);
	/* More than there is. */
	expect(473, (ULONG64)IoBuildDeviceIoControlRequest(CODE_TURN, device, NULL, 0, &event, 0xFFFFFFFF, FALSE, &event,
							   NULL), 0);
	expect(474, (ULONG64)IoBuildAsynchronousFsdRequest(IRP_MJ_READ, device, &event, 0xFFFFFFFF, NULL, NULL), 0);
	expect(475, (ULONG)IoCreateDevice(filter_object, 0xFFFFFFFF, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &lower),
	       (ULONG)STATUS_INSUFFICIENT_RESOURCES);
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	irp = IoAllocateIrp(device->StackSize, FALSE);
	if (irp) {
		next_of(irp)->MajorFunction = IRP_MJ_WRITE;
		next_of(irp)->Parameters.Write.Length = 4;
		irp->UserBuffer = &event;
		if (IoSetCompletionRoutineEx(own, irp, write_done, &event, TRUE, TRUE, TRUE) == STATUS_SUCCESS) {
			IofCallDriver(device, irp);
			IoCancelIrp(irp);
			KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
		}
		IoFreeIrp(irp);
	}
	if (IoAttachDevice(own, &name, &lower) == STATUS_SUCCESS) {
		expect(472, (ULONG64)lower, (ULONG64)device);
		IoDetachDevice(lower);
	}
	ObfDereferenceObject(file);
}

static DEVICE_OBJECT *make(ULONG flags)
{
	DEVICE_OBJECT *device;

	if (IoCreateDevice(filter_object, sizeof(LAYER), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device) !=
	    STATUS_SUCCESS)
		return NULL;
	layer_of(device)->lower = NULL;
	layer_of(device)->way = AS_IT_IS;
	layer_of(device)->seen = 0;
	layer_of(device)->mark = LAYER_MARK;
	device->Flags |= flags;
	device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
	return device;
}

NOINLINE static void stack(DEVICE_OBJECT *upper, DEVICE_OBJECT *lower)
{
	DEVICE_OBJECT *top;

	layer_of(upper)->lower = IoAttachDeviceToDeviceStack(upper, lower);
	if (!layer_of(upper)->lower)
		return;
	expect(480, (ULONG64)layer_of(upper)->lower, (ULONG64)lower);
	expect(481, upper->StackSize, lower->StackSize + 1);
	top = IoGetAttachedDeviceReference(lower);
	expect(482, (ULONG64)top, (ULONG64)upper);
	ObfDereferenceObject(top);
	for (ULONG way = AS_IT_IS; way <= AND_WAIT; way++) {
		layer_of(upper)->way = way;
		control(upper, CODE_TURN);
		control(upper, CODE_TURN_OUT);
		control(upper, CODE_TURN_NEITHER);
		control(upper, CODE_LATER);
		reads(upper);
		own_requests(upper);
	}
	IoDetachDevice(lower);
	if (IoAttachDeviceToDeviceStackSafe(upper, lower, &layer_of(upper)->lower) == STATUS_SUCCESS)
		IoDetachDevice(layer_of(upper)->lower);
}

/* Runs all trials. */
void irps(void)
{
	static const ULONG kinds[] = { 0, DO_BUFFERED_IO, DO_DIRECT_IO };
	IRP mark;

	expect(490, (ULONG64)IoGetTopLevelIrp(), 0);
	IoSetTopLevelIrp(&mark);
	expect(491, (ULONG64)IoGetTopLevelIrp(), (ULONG64)&mark);
	IoSetTopLevelIrp(NULL);
	for (ULONG i = 0; i < 3; i++) {
		DEVICE_OBJECT *lower = make(kinds[i]), *upper = make(kinds[i]);

		if (lower && upper)
			stack(upper, lower);
		if (lower) {
			others(lower);
			IoDeleteDevice(lower);
		}
		if (upper)
			IoDeleteDevice(upper);
	}
}
