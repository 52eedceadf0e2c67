/*
 * Pages without an address of their own, contiguous and reserved memory, and careful copies, tried against what the pages
 * of their functions say. The driver stops the system where one differs. What can fail may fail.
 */
#include "filter.h"

#define IMPORT __declspec(dllimport)

/* What the table of prototypes does not have. */
IMPORT void *MmAllocateContiguousMemorySpecifyCache(SIZE_T bytes, PHYSICAL_ADDRESS lowest, PHYSICAL_ADDRESS highest, PHYSICAL_ADDRESS boundary, ULONG caching);
IMPORT void *MmAllocateContiguousMemory(SIZE_T bytes, PHYSICAL_ADDRESS highest);
IMPORT void MmFreeContiguousMemory(void *base);
IMPORT void *MmAllocateNonCachedMemory(SIZE_T bytes);
IMPORT void MmFreeNonCachedMemory(void *base, SIZE_T bytes);
IMPORT void *MmAllocateMappingAddress(SIZE_T bytes, ULONG tag);
IMPORT void MmFreeMappingAddress(void *base, ULONG tag);
IMPORT void *MmMapLockedPagesWithReservedMapping(void *base, ULONG tag, MDL *mdl, ULONG caching);
IMPORT void MmUnmapReservedMapping(void *base, ULONG tag, MDL *mdl);
IMPORT NTSTATUS MmCopyMemory(void *target, PVOID source, SIZE_T bytes, ULONG flags, SIZE_T *done);

/* Runs all trials. */
void memory_calls(void)
{
	PHYSICAL_ADDRESS low = { .QuadPart = 0 }, high = { .QuadPart = -1 };
	MDL *mdl = MmAllocatePagesForMdlEx(low, high, low, 5000, MmCached, 0);
	UCHAR bytes[8], *at;
	SIZE_T done = 0;
	ULONG64 room[16];
	void *base;

	if (mdl) {
		expect(530, mdl->ByteCount, 8192);
		at = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE,
						  NormalPagePriority | MdlMappingNoExecute);
		if (at) {
			expect(531, at[0] | at[8191], 0);
			at[8191] = 7;
			expect(532, (ULONG)MmCopyMemory(bytes, at + 8190, 2, 2, &done), STATUS_SUCCESS);
			expect(533, bytes[1], 7);
			/* Beyond the pages nothing can be read. */
			expect(534, MmCopyMemory(bytes, (PVOID)0xFFFF900000000000, 2, 2, &done) == STATUS_SUCCESS, FALSE);
			expect(535, done, 0);
			expect(536, (ULONG)MmCopyMemory(bytes, at, 2, 3, &done), (ULONG)STATUS_INVALID_PARAMETER);
			MmUnmapLockedPages(at, mdl);
		}
		/* What there is no room for in a process is raised. */
		at = NULL;
		__try {
			at = MmMapLockedPagesSpecifyCache(mdl, UserMode, MmCached, NULL, FALSE, NormalPagePriority);
			MmUnmapLockedPages(at, mdl);
		} __except (1 /* EXCEPTION_EXECUTE_HANDLER */) {
			expect(586, (ULONG)_exception_code(), (ULONG)STATUS_INSUFFICIENT_RESOURCES);
		}
		base = MmAllocateMappingAddress(4096, FILTER_TAG);
		if (base) {
			/* Too small. */
			expect(537, (ULONG64)MmMapLockedPagesWithReservedMapping(base, FILTER_TAG, mdl, MmCached), 0);
			MmFreeMappingAddress(base, FILTER_TAG);
		}
		base = MmAllocateMappingAddress(8192, FILTER_TAG);
		if (base) {
			at = MmMapLockedPagesWithReservedMapping(base, FILTER_TAG, mdl, MmCached);
			expect(538, at != NULL, TRUE);
			at[0] = 1;
			MmUnmapReservedMapping(base, FILTER_TAG, mdl);
			MmFreeMappingAddress(base, FILTER_TAG);
		}
		MmFreePagesFromMdl(mdl);
		ExFreePool(mdl);
	}
	mdl = MmAllocatePagesForMdl(low, high, low, 4096);
	if (mdl) {
		MmFreePagesFromMdl(mdl);
		ExFreePool(mdl);
	}
	mdl = MmCreateMdl((MDL *)room, bytes, sizeof(bytes));
	expect(582, (ULONG64)mdl, (ULONG64)room);
	expect(583, (ULONG)MmAdvanceMdl(mdl, 3), STATUS_SUCCESS);
	expect(584, mdl->ByteCount, 5);
	expect(585, MmAdvanceMdl(mdl, 6) == STATUS_SUCCESS, FALSE);
	at = MmAllocateContiguousMemorySpecifyCache(8192, low, high, low, MmCached);
	if (at)
		MmFreeContiguousMemory(at);
	at = MmAllocateContiguousMemory(100, high);
	if (at) {
		expect(539, (ULONG64)at & 4095, 0);
		at[99] = 1;
		MmFreeContiguousMemory(at);
	}
	high.QuadPart = 0xFFF;
	expect(540, (ULONG64)MmAllocateContiguousMemory(100, high), 0);
	at = MmAllocateNonCachedMemory(100);
	if (at) {
		at[4095] = 1;
		MmFreeNonCachedMemory(at, 100);
	}
}
