/*
 * Control requests. Those that bring addresses of their sender's, or locked pages, are answered with their input, every
 * byte turned round, as much of it as there is room for; the others wait in the queue of `queue.c`.
 */
#include "filter.h"

#define EXECUTE_HANDLER 1
#define MOST 4096

/* What a request brings. */
typedef struct REQUEST {
	IRP *irp;
	UCHAR *input;
	ULONG input_length;
	UCHAR *output;
	ULONG output_length;
} REQUEST;

static ULONG shorter(ULONG a, ULONG b)
{
	return a < b ? a : b;
}

NTSTATUS request_end(IRP *irp, NTSTATUS status, ULONG64 information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IofCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

/* Copies what the sender has to memory of ours, which it cannot change any more. */
static NTSTATUS take(const REQUEST *request, UCHAR *copy, ULONG length)
{
	__try {
		if (request->irp->RequestorMode != KernelMode)
			ProbeForRead(request->input, request->input_length, 1);
		memcpy(copy, request->input, length);
	} __except (EXECUTE_HANDLER) {
		return (NTSTATUS)_exception_code();
	}
	return STATUS_SUCCESS;
}

static NTSTATUS give(const REQUEST *request, const UCHAR *copy, ULONG length)
{
	__try {
		if (request->irp->RequestorMode != KernelMode)
			ProbeForWrite(request->output, request->output_length, 1);
		for (ULONG i = 0; i < length; i++)
			request->output[i] = (UCHAR)~copy[i];
	} __except (EXECUTE_HANDLER) {
		return (NTSTATUS)_exception_code();
	}
	return STATUS_SUCCESS;
}

/* The same by way of locked pages, which need no further care. */
static NTSTATUS give_locked(const REQUEST *request, const UCHAR *copy, ULONG length)
{
	NTSTATUS status = STATUS_SUCCESS;
	MDL *mdl = IoAllocateMdl(request->output, request->output_length, FALSE, FALSE, NULL);
	UCHAR *mapped;

	if (!mdl)
		return STATUS_INSUFFICIENT_RESOURCES;
	__try {
		MmProbeAndLockPages(mdl, request->irp->RequestorMode, IoWriteAccess);
	} __except (EXECUTE_HANDLER) {
		status = (NTSTATUS)_exception_code();
	}
	if (status == STATUS_SUCCESS) {
		mapped = mdl_address(mdl);
		for (ULONG i = 0; mapped && i < length; i++)
			mapped[i] = (UCHAR)~copy[i];
		if (!mapped)
			status = STATUS_INSUFFICIENT_RESOURCES;
		MmUnlockPages(mdl);
	}
	IoFreeMdl(mdl);
	return status;
}

/* METHOD_NEITHER: here we are in the context of the sender. */
static NTSTATUS neither(const REQUEST *request)
{
	ULONG length = shorter(request->input_length, request->output_length);
	UCHAR *copy;
	NTSTATUS status;

	if (length == 0 || length > MOST)
		return request_end(request->irp, STATUS_INVALID_PARAMETER, 0);
	copy = ExAllocatePool2(POOL_FLAG_NON_PAGED, length, FILTER_TAG);
	if (!copy)
		return request_end(request->irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	status = take(request, copy, length);
	if (status == STATUS_SUCCESS)
		status = length & 1 ? give_locked(request, copy, length) : give(request, copy, length);
	ExFreePoolWithTag(copy, FILTER_TAG);
	return request_end(request->irp, status, status == STATUS_SUCCESS ? length : 0);
}

/* What MmGetSystemAddressForMdlSafe does. */
UCHAR *mdl_address(MDL *mdl)
{
	if (mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
		return mdl->MappedSystemVa;
	return MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE,
					    NormalPagePriority | MdlMappingNoExecute);
}

/* A pool of lists needs no handle of the driver's or a module's. */
NDIS_HANDLE list_pool(void)
{
	NET_BUFFER_LIST_POOL_PARAMETERS parameters = { 0 };

	parameters.Header.Type = NDIS_OBJECT_TYPE_DEFAULT;
	parameters.Header.Revision = NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1;
	parameters.Header.Size = NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1;
	parameters.ProtocolId = NDIS_PROTOCOL_ID_DEFAULT;
	parameters.fAllocateNetBuffer = TRUE;
	parameters.PoolTag = FILTER_TAG;
	return NdisAllocateNetBufferListPool(NULL, &parameters);
}

/* Locked pages of user mode as the data of a packet: NDIS finds them in whichever process that is. */
static void as_packet(MDL *mdl, ULONG length)
{
	NDIS_HANDLE pool = list_pool();
	NET_BUFFER_LIST *list = pool ? NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, mdl, 0, length) : NULL;
	const UCHAR *found, *mapped;

	if (list) {
		found = NdisGetDataBuffer(list->FirstNetBuffer, length, NULL, 1, 0);
		mapped = mdl_address(mdl);
		if (found && mapped)
			expect(800, (ULONG64)found, (ULONG64)mapped);
		NdisFreeNetBufferList(list);
	}
	if (pool)
		NdisFreeNetBufferListPool(pool);
}

/* METHOD_OUT_DIRECT: the input is copied, the output is locked pages. Those of METHOD_IN_DIRECT are more input. */
static NTSTATUS direct(const REQUEST *request, BOOLEAN is_out)
{
	ULONG length = shorter(request->input_length, request->output_length);
	MDL *mdl = request->irp->MdlAddress;
	UCHAR *input = request->irp->AssociatedIrp.SystemBuffer;
	UCHAR *mapped;
	UCHAR sum = 0;

	if (length == 0 || !mdl)
		return request_end(request->irp, STATUS_INVALID_PARAMETER, 0);
	if (!is_out)
		as_packet(mdl, length);
	mapped = mdl_address(mdl);
	if (!mapped)
		return request_end(request->irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	for (ULONG i = 0; i < length; i++) {
		if (is_out)
			mapped[i] = (UCHAR)~input[i];
		else
			sum += mapped[i] ^ input[i];
	}
	return request_end(request->irp, STATUS_SUCCESS, is_out ? length : sum);
}

NTSTATUS user_request(IRP *irp)
{
	IO_STACK_LOCATION *location = irp->Tail.Overlay.CurrentStackLocation;
	REQUEST request = {
		.irp = irp,
		.input = location->Parameters.DeviceIoControl.Type3InputBuffer,
		.input_length = location->Parameters.DeviceIoControl.InputBufferLength,
		.output = irp->UserBuffer,
		.output_length = location->Parameters.DeviceIoControl.OutputBufferLength,
	};

	/* FILE_READ_ACCESS, FILE_ANY_ACCESS */
	expect(801, (ULONG)IoValidateDeviceIoControlAccess(irp, 1), STATUS_SUCCESS);
	expect(802, (ULONG)IoValidateDeviceIoControlAccess(irp, 0), (ULONG)STATUS_INVALID_PARAMETER);
	switch (location->Parameters.DeviceIoControl.IoControlCode & 3) {
	case METHOD_BUFFERED:
		return queue_request(irp);
	case METHOD_NEITHER:
		return neither(&request);
	case METHOD_OUT_DIRECT:
		return direct(&request, TRUE);
	default:
		return direct(&request, FALSE);
	}
}
