/* What the well-behaved filter does beside passing packets on: it tries the kernel that it is in, once. */
#include "filter.h"

void play_begin(void)
{
	object_begin(filter_device);
}

void play_end(void)
{
	object_end(filter_device);
}

void play_attach(MODULE *module)
{
	static LONG volatile tried;

	(void)module;
	if (__sync_bool_compare_and_swap(&tried, 0, 1)) {
		store_parameters();
		network_parameters();
	}
}

void play_detach(MODULE *module)
{
	(void)module;
	kernel_detach();
}

void play_send(MODULE *module, NET_BUFFER_LIST *lists)
{
	(void)module;
	(void)lists;
}

NTSTATUS play_request(IRP *irp)
{
	static LONG volatile tried;
	IO_STACK_LOCATION *location = irp->Tail.Overlay.CurrentStackLocation;
	ULONG method = location->Parameters.DeviceIoControl.IoControlCode & 3;

	/* Only then is this certainly its sender's thread. */
	if (method == METHOD_NEITHER && irp->RequestorMode == UserMode &&
	    __sync_bool_compare_and_swap(&tried, 0, 1))
		security_of_user();
	return user_request(irp);
}

void play_work(MODULE *module)
{
	static LONG volatile tried;

	if (__sync_bool_compare_and_swap(&tried, 0, 1)) {
		seh(module);
		library();
		kernel_calls();
		memory_calls();
		network_calls(module->handle);
		provider_calls();
	}
}
