/*
 * Plays of `fault.c` that give functions of the run-time library what they must not be given.
 */
#include "fault.h"

#define RTL(result) __declspec(dllimport) result

RTL(char *) strcpy(char *target, const char *source);
RTL(int) _snprintf(char *target, ULONG64 count, const char *format, ...);
RTL(ULONG) RtlLengthSid(PVOID sid);
RTL(NTSTATUS) RtlCreateAcl(PVOID acl, ULONG length, ULONG revision);
RTL(BOOLEAN) RtlCreateHashTable(PVOID *table, ULONG shift, ULONG flags);
RTL(BOOLEAN) RtlInsertEntryHashTable(PVOID table, PVOID entry, ULONG_PTR signature, PVOID context);
RTL(BOOLEAN) RtlExpandHashTable(PVOID table);
RTL(void) qsort(PVOID base, ULONG64 count, ULONG64 size, int (*compare)(const UCHAR *, const UCHAR *));

NOINLINE void text_unterminated(MODULE *module)
{
	UCHAR *bytes = block();

	for (ULONG i = 0; i < SIZE + 8; i++)
		bytes[i < SIZE ? i : 0] = 'x';
	module->kept = bytes;
	module->turn = (ULONG)strlen((const signed char *)bytes); /* caught: c-text-unterminated by mem-overrun */
	stay();
}

NOINLINE void text_past(MODULE *module)
{
	module->kept = block();
	strcpy(module->kept, "a text of more than forty-eight characters, which is too long"); /* caught: c-text-past by mem-overrun */
	stay();
}

NOINLINE void text_wild(MODULE *module)
{
	module->kept = block();
	_snprintf(module->kept, SIZE, "%ws", (PVOID)8); /* caught: c-text-wild by null-check */
	stay();
}

NOINLINE void sid_null(MODULE *module)
{
	module->turn = RtlLengthSid(NULL); /* caught: c-sid-null by null-check */
	stay();
}

NOINLINE void acl_at_dispatch(MODULE *module)
{
	UCHAR list[8];
	KIRQL irql;

	irql = KeAcquireSpinLockRaiseToDpc(&module->lock);
	RtlCreateAcl(list, sizeof(list), 2); /* caught: c-acl-at-dispatch by zw-irql-passive */
	KeReleaseSpinLock(&module->lock, irql);
}

NOINLINE void hash_left(MODULE *module)
{
	RtlCreateHashTable(&module->kept, 0, 0); /* caught: c-hash-left by unload-pool-freed */
	stay();
}

/* RTL_DYNAMIC_HASH_TABLE_ENTRY. */
static struct {
	LIST_ENTRY linkage;
	ULONG_PTR signature;
} entry;

NOINLINE void hash_twice(MODULE *module)
{
	if (RtlCreateHashTable(&module->kept, 0, 0)) {
		RtlInsertEntryHashTable(module->kept, &entry, 7, NULL);
		RtlInsertEntryHashTable(module->kept, &entry, 7, NULL);
		while (RtlExpandHashTable(module->kept)) /* caught: c-hash-twice by dv-list-corruption */
			;
	}
	stay();
}

static int compare_past(const UCHAR *a, const UCHAR *b)
{
	return a[SIZE] - b[0]; /* caught: c-sort-past by mem-overrun */
}

NOINLINE void sort_past(MODULE *module)
{
	module->kept = block();
	qsort(module->kept, SIZE / 4, 4, compare_past);
	stay();
}
