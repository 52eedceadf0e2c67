/*
 * A lightweight filter in plain C that passes everything on. It counts under a spin lock, and a work
 * item and a periodic timer run while the module does.
 */
#include "filter.h"

#define MINOR 89
#define PERIOD_MS 10
#define POLL_US 1000

NDIS_HANDLE filter_driver;

static MODULE *module_of(NDIS_HANDLE context)
{
	return (MODULE *)context;
}

/* Lets a datapath handler in; FALSE if the module is paused. */
static BOOLEAN enter(MODULE *module, ULONG64 *count)
{
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);
	BOOLEAN open = module->open;

	if (open) {
		module->inside++;
		(*count)++;
	}
	KeReleaseSpinLock(&module->lock, old);
	return open;
}

static void leave(MODULE *module)
{
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	module->inside--;
	KeReleaseSpinLock(&module->lock, old);
}

static void work(PVOID context, NDIS_HANDLE item)
{
	MODULE *module = module_of(context);
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	(void)item;
	module->queued = FALSE;
	KeReleaseSpinLock(&module->lock, old);
	play_work(module);
	old = KeAcquireSpinLockRaiseToDpc(&module->lock);
	module->busy--;
	KeReleaseSpinLock(&module->lock, old);
}

void module_defer(MODULE *module)
{
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);
	BOOLEAN wanted = !module->queued;

	if (wanted) {
		module->queued = TRUE;
		module->busy++;
	}
	KeReleaseSpinLock(&module->lock, old);
	if (wanted)
		NdisQueueIoWorkItem(module->work_item, work, module);
}

static void expired(PVOID special1, PVOID context, PVOID special2, PVOID special3)
{
	MODULE *module = module_of(context);

	(void)special1;
	(void)special2;
	(void)special3;
	module->ticks++;
}

static void release(MODULE *module)
{
	if (module->timer)
		NdisFreeTimerObject(module->timer);
	if (module->work_item)
		NdisFreeIoWorkItem(module->work_item);
	ExFreePoolWithTag(module, FILTER_TAG);
}

static NDIS_STATUS attach(NDIS_HANDLE handle, NDIS_HANDLE driver_context,
			  NDIS_FILTER_ATTACH_PARAMETERS *parameters)
{
	NDIS_TIMER_CHARACTERISTICS timer = { 0 };
	NDIS_FILTER_ATTRIBUTES attributes = { 0 };
	NDIS_STATUS status;
	MODULE *module;

	(void)driver_context;
	if (parameters->MiniportMediaType != NdisMedium802_3)
		return NDIS_STATUS_INVALID_PARAMETER;
	module = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(*module), FILTER_TAG);
	if (!module)
		return NDIS_STATUS_RESOURCES;
	module->handle = handle;
	KeInitializeSpinLock(&module->lock);
	timer.Header.Type = NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS;
	timer.Header.Revision = NDIS_TIMER_CHARACTERISTICS_REVISION_1;
	timer.Header.Size = NDIS_SIZEOF_TIMER_CHARACTERISTICS_REVISION_1;
	timer.AllocationTag = FILTER_TAG;
	timer.TimerFunction = expired;
	timer.FunctionContext = module;
	module->work_item = NdisAllocateIoWorkItem(filter_driver);
	status = module->work_item ? NdisAllocateTimerObject(filter_driver, &timer, &module->timer)
				   : NDIS_STATUS_RESOURCES;
	if (status == NDIS_STATUS_SUCCESS) {
		attributes.Header.Type = NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES;
		attributes.Header.Revision = NDIS_FILTER_ATTRIBUTES_REVISION_1;
		attributes.Header.Size = NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1;
		status = NdisFSetAttributes(handle, module, &attributes);
	} else {
		module->timer = NULL;
	}
	if (status != NDIS_STATUS_SUCCESS) {
		release(module);
		return status;
	}
	play_attach(module);
	return NDIS_STATUS_SUCCESS;
}

static void detach(NDIS_HANDLE context)
{
	MODULE *module = module_of(context);

	play_detach(module);
	release(module);
}

static NDIS_STATUS restart(NDIS_HANDLE context, NDIS_FILTER_RESTART_PARAMETERS *parameters)
{
	MODULE *module = module_of(context);
	LARGE_INTEGER due = { .QuadPart = -10000ll * PERIOD_MS };
	KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

	(void)parameters;
	module->open = TRUE;
	KeReleaseSpinLock(&module->lock, old);
	NdisSetTimerObject(module->timer, due, PERIOD_MS, NULL);
	return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS pause(NDIS_HANDLE context, NDIS_FILTER_PAUSE_PARAMETERS *parameters)
{
	MODULE *module = module_of(context);
	BOOLEAN is_idle;

	(void)parameters;
	do {
		KIRQL old = KeAcquireSpinLockRaiseToDpc(&module->lock);

		module->open = FALSE;
		is_idle = module->inside == 0 && module->busy == 0;
		KeReleaseSpinLock(&module->lock, old);
		if (!is_idle)
			NdisMSleep(POLL_US);
	} while (!is_idle);
	NdisCancelTimerObject(module->timer);
	KeFlushQueuedDpcs();
	return NDIS_STATUS_SUCCESS;
}

static void send(NDIS_HANDLE context, NET_BUFFER_LIST *lists, NDIS_PORT_NUMBER port, ULONG flags)
{
	MODULE *module = module_of(context);
	NET_BUFFER_LIST *list;

	if (!enter(module, &module->sent)) {
		for (list = lists; list; list = list->Next)
			list->Status = NDIS_STATUS_PAUSED;
		NdisFSendNetBufferListsComplete(module->handle, lists,
			flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL ?
				NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL : 0);
		return;
	}
	play_send(module, lists);
	module_defer(module);
	NdisFSendNetBufferLists(module->handle, lists, port, flags);
	leave(module);
}

static void send_complete(NDIS_HANDLE context, NET_BUFFER_LIST *lists, ULONG flags)
{
	NdisFSendNetBufferListsComplete(module_of(context)->handle, lists, flags);
}

static void receive(NDIS_HANDLE context, NET_BUFFER_LIST *lists, NDIS_PORT_NUMBER port,
		    ULONG count, ULONG flags)
{
	MODULE *module = module_of(context);

	if (!enter(module, &module->received)) {
		if (!(flags & NDIS_RECEIVE_FLAGS_RESOURCES))
			NdisFReturnNetBufferLists(module->handle, lists,
				flags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL ?
					NDIS_RETURN_FLAGS_DISPATCH_LEVEL : 0);
		return;
	}
	NdisFIndicateReceiveNetBufferLists(module->handle, lists, port, count, flags);
	leave(module);
}

static void returned(NDIS_HANDLE context, NET_BUFFER_LIST *lists, ULONG flags)
{
	NdisFReturnNetBufferLists(module_of(context)->handle, lists, flags);
}

static void status(NDIS_HANDLE context, NDIS_STATUS_INDICATION *indication)
{
	NdisFIndicateStatus(module_of(context)->handle, indication);
}

/* Runs inside registration, before the first attach. */
static NDIS_STATUS set_options(NDIS_HANDLE driver, NDIS_HANDLE context)
{
	(void)context;
	/* As Microsoft's sample sees it: what registration gives is there already. */
	return driver == filter_driver ? NDIS_STATUS_SUCCESS : NDIS_STATUS_INVALID_PARAMETER;
}

DRIVER_OBJECT *filter_object;

DEVICE_OBJECT *filter_device;

#define DEVICE_MARK 0x6563697665446d41

/* Any request to it: done, with no answer, control requests a little later. */
static NTSTATUS dispatch(DEVICE_OBJECT *device, IRP *irp)
{
	IO_STACK_LOCATION *location = irp->Tail.Overlay.CurrentStackLocation;

	if (irp_is_ours(device))
		return irp_dispatch(device, irp);
	if (device == filter_device && *(ULONG64 *)device->DeviceExtension != DEVICE_MARK)
		KeBugCheckEx(0xDEAD, 90, (ULONG64)device, (ULONG64)filter_device, 0);
	/* It comes in the thread of who has sent it. */
	if ((ULONG)(ULONG64)PsGetCurrentProcessId() != IoGetRequestorProcessId(irp))
		KeBugCheckEx(0xDEAD, 91, IoGetRequestorProcessId(irp), 0, 0);
	if (location->MajorFunction == IRP_MJ_DEVICE_CONTROL)
		return play_request(irp);
	return request_end(irp, STATUS_SUCCESS, location->MajorFunction == IRP_MJ_CREATE ? FILE_OPENED : 0);
}

INIT_CODE static void make_device(DRIVER_OBJECT *driver)
{
	UNICODE_STRING name;

	queue_begin();
	driver->MajorFunction[IRP_MJ_CREATE] = dispatch;
	driver->MajorFunction[IRP_MJ_CLEANUP] = dispatch;
	driver->MajorFunction[IRP_MJ_CLOSE] = dispatch;
	driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = dispatch;
	driver->MajorFunction[IRP_MJ_READ] = dispatch;
	RtlInitUnicodeString(&name, L"\\Device\\DeferlwfFilterInC");
	if (IoCreateDevice(driver, sizeof(ULONG64), &name, FILE_DEVICE_NETWORK,
			   FILE_DEVICE_SECURE_OPEN, FALSE, &filter_device) == STATUS_SUCCESS)
		*(ULONG64 *)filter_device->DeviceExtension = DEVICE_MARK;
	else
		filter_device = NULL;
	play_begin();
}

static void delete_device(void)
{
	play_end();
	/* As a driver does that need not know what it has made. */
	while (filter_object->DeviceObject)
		IoDeleteDevice(filter_object->DeviceObject);
	filter_device = NULL;
	queue_end();
}

static void unload(DRIVER_OBJECT *driver)
{
	(void)driver;
	delete_device();
	NdisFDeregisterFilterDriver(filter_driver);
}

INIT_CODE NTSTATUS DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *registry_path)
{
	NDIS_FILTER_DRIVER_CHARACTERISTICS characteristics = { 0 };
	ULONG running = NdisGetVersion() & 0xffff;
	NDIS_STATUS result;

	(void)registry_path;
	characteristics.Header.Type = NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS;
	characteristics.Header.Revision = NDIS_FILTER_CHARACTERISTICS_REVISION_3;
	characteristics.Header.Size = NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3;
	characteristics.MajorNdisVersion = 6;
	characteristics.MinorNdisVersion = (UCHAR)(running < MINOR ? running : MINOR);
	characteristics.MajorDriverVersion = 1;
	RtlInitUnicodeString(&characteristics.FriendlyName, L"deferlwf C filter");
	RtlInitUnicodeString(&characteristics.UniqueName,
			     L"{1f3c3f0e-8a55-4a0e-9a52-6d4f0a5e7c21}");
	RtlInitUnicodeString(&characteristics.ServiceName, L"c-filter");
	characteristics.SetOptionsHandler = set_options;
	characteristics.AttachHandler = attach;
	characteristics.DetachHandler = detach;
	characteristics.RestartHandler = restart;
	characteristics.PauseHandler = pause;
	characteristics.SendNetBufferListsHandler = send;
	characteristics.SendNetBufferListsCompleteHandler = send_complete;
	characteristics.ReceiveNetBufferListsHandler = receive;
	characteristics.ReturnNetBufferListsHandler = returned;
	characteristics.StatusHandler = status;
	driver->DriverUnload = unload;
	filter_object = driver;
	make_device(driver);
	result = NdisFRegisterFilterDriver(driver, driver, &characteristics, &filter_driver);
	if (result != NDIS_STATUS_SUCCESS)
		delete_device();
	return result;
}
