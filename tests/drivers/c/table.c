/*
 * Generic tables, with splay and with AVL trees, and dynamic hash tables: tried against what their pages and headers say.
 * The driver stops the system where one differs; what fails for want of memory ends a trial.
 */
#include "filter.h"

#define RTL(result) __declspec(dllimport) result

enum { LESS, GREATER, EQUAL };

/* RTL_GENERIC_TABLE and RTL_AVL_TABLE: a driver knows the context at their end. */
typedef struct TABLE {
	ULONG64 hidden[8];
	PVOID context;
} TABLE;

typedef struct AVL_TABLE {
	ULONG64 hidden[12];
	PVOID context;
} AVL_TABLE;

RTL(void) RtlInitializeGenericTable(PVOID, PVOID compare, PVOID allocate, PVOID free, PVOID context);
RTL(void) RtlInitializeGenericTableAvl(PVOID, PVOID compare, PVOID allocate, PVOID free, PVOID context);
RTL(PVOID) RtlInsertElementGenericTable(PVOID, PVOID data, ULONG size, BOOLEAN *is_new);
RTL(PVOID) RtlInsertElementGenericTableAvl(PVOID, PVOID data, ULONG size, BOOLEAN *is_new);
RTL(PVOID) RtlInsertElementGenericTableFull(PVOID, PVOID data, ULONG size, BOOLEAN *is_new, PVOID node, ULONG result);
RTL(PVOID) RtlInsertElementGenericTableFullAvl(PVOID, PVOID data, ULONG size, BOOLEAN *is_new, PVOID node, ULONG result);
RTL(PVOID) RtlLookupElementGenericTable(PVOID, PVOID data);
RTL(PVOID) RtlLookupElementGenericTableAvl(PVOID, PVOID data);
RTL(PVOID) RtlLookupElementGenericTableFull(PVOID, PVOID data, PVOID *node, ULONG *result);
RTL(PVOID) RtlLookupElementGenericTableFullAvl(PVOID, PVOID data, PVOID *node, ULONG *result);
RTL(BOOLEAN) RtlDeleteElementGenericTable(PVOID, PVOID data);
RTL(BOOLEAN) RtlDeleteElementGenericTableAvl(PVOID, PVOID data);
RTL(PVOID) RtlEnumerateGenericTable(PVOID, BOOLEAN restart);
RTL(PVOID) RtlEnumerateGenericTableAvl(PVOID, BOOLEAN restart);
RTL(PVOID) RtlEnumerateGenericTableWithoutSplaying(PVOID, PVOID *key);
RTL(PVOID) RtlEnumerateGenericTableWithoutSplayingAvl(PVOID, PVOID *key);
RTL(PVOID) RtlGetElementGenericTable(PVOID, ULONG index);
RTL(PVOID) RtlGetElementGenericTableAvl(PVOID, ULONG index);
RTL(BOOLEAN) RtlIsGenericTableEmpty(PVOID);
RTL(BOOLEAN) RtlIsGenericTableEmptyAvl(PVOID);
RTL(ULONG) RtlNumberGenericTableElements(PVOID);
RTL(ULONG) RtlNumberGenericTableElementsAvl(PVOID);

/* What both kinds have. */
typedef struct KIND {
	PVOID (*insert)(PVOID, PVOID, ULONG, BOOLEAN *);
	PVOID (*insert_at)(PVOID, PVOID, ULONG, BOOLEAN *, PVOID, ULONG);
	PVOID (*look_up)(PVOID, PVOID);
	PVOID (*look_up_place)(PVOID, PVOID, PVOID *, ULONG *);
	BOOLEAN (*remove)(PVOID, PVOID);
	PVOID (*enumerate)(PVOID, BOOLEAN);
	PVOID (*enumerate_by_key)(PVOID, PVOID *);
	PVOID (*get)(PVOID, ULONG);
	BOOLEAN (*is_empty)(PVOID);
	ULONG (*count)(PVOID);
} KIND;

/* RTL_DYNAMIC_HASH_TABLE and what goes with it. */
typedef struct HASH_TABLE {
	ULONG flags, shift, size, pivot, mask, entries, used, enumerators;
	PVOID directory;
} HASH_TABLE;

typedef struct HASH_ENTRY {
	LIST_ENTRY linkage;
	ULONG_PTR signature;
} HASH_ENTRY;

typedef struct HASH_CONTEXT {
	LIST_ENTRY *chain, *before;
	ULONG_PTR signature;
} HASH_CONTEXT;

typedef struct HASH_ENUMERATOR {
	HASH_ENTRY entry;
	LIST_ENTRY *chain;
	ULONG bucket;
} HASH_ENUMERATOR;

RTL(BOOLEAN) RtlCreateHashTable(HASH_TABLE **, ULONG shift, ULONG flags);
RTL(BOOLEAN) RtlCreateHashTableEx(HASH_TABLE **, ULONG size, ULONG shift, ULONG flags);
RTL(void) RtlDeleteHashTable(HASH_TABLE *);
RTL(BOOLEAN) RtlInsertEntryHashTable(HASH_TABLE *, HASH_ENTRY *, ULONG_PTR signature, HASH_CONTEXT *);
RTL(BOOLEAN) RtlRemoveEntryHashTable(HASH_TABLE *, HASH_ENTRY *, HASH_CONTEXT *);
RTL(HASH_ENTRY *) RtlLookupEntryHashTable(HASH_TABLE *, ULONG_PTR signature, HASH_CONTEXT *);
RTL(HASH_ENTRY *) RtlGetNextEntryHashTable(HASH_TABLE *, HASH_CONTEXT *);
RTL(BOOLEAN) RtlInitEnumerationHashTable(HASH_TABLE *, HASH_ENUMERATOR *);
RTL(HASH_ENTRY *) RtlEnumerateEntryHashTable(HASH_TABLE *, HASH_ENUMERATOR *);
RTL(void) RtlEndEnumerationHashTable(HASH_TABLE *, HASH_ENUMERATOR *);
RTL(BOOLEAN) RtlInitWeakEnumerationHashTable(HASH_TABLE *, HASH_ENUMERATOR *);
RTL(HASH_ENTRY *) RtlWeaklyEnumerateEntryHashTable(HASH_TABLE *, HASH_ENUMERATOR *);
RTL(void) RtlEndWeakEnumerationHashTable(HASH_TABLE *, HASH_ENUMERATOR *);
RTL(BOOLEAN) RtlExpandHashTable(HASH_TABLE *);
RTL(BOOLEAN) RtlContractHashTable(HASH_TABLE *);

/* What is in the tables: a key, and what belongs to it. */
typedef struct ITEM {
	ULONG key;
	ULONG value;
} ITEM;

#define ITEMS 40

static ULONG compare(PVOID table, const ITEM *a, const ITEM *b)
{
	(void)table;
	return a->key < b->key ? LESS : a->key > b->key ? GREATER : EQUAL;
}

static PVOID allocate(PVOID table, ULONG size)
{
	(void)table;
	return ExAllocatePool2(POOL_FLAG_NON_PAGED, size, FILTER_TAG);
}

static void release(PVOID table, PVOID node)
{
	(void)table;
	ExFreePoolWithTag(node, FILTER_TAG);
}

/* Every number below ITEMS, in no order. */
static ULONG shuffled(ULONG i)
{
	return i * 17 % ITEMS;
}

/* Puts in all items; those for which there was no memory are missing. */
static ULONG fill(const KIND *kind, PVOID table)
{
	ULONG count = 0, result;
	BOOLEAN is_new;
	PVOID node = NULL;

	for (ULONG i = 0; i < ITEMS; i++) {
		ITEM item = { shuffled(i), i }, *kept;

		if (i & 1) {
			kept = kind->insert(table, &item, sizeof(item), &is_new);
		} else {
			expect(1060, (ULONG64)kind->look_up_place(table, &item, &node, &result), 0);
			expect(1061, count == 0 ? result == 0 : result == 2 || result == 3, TRUE);
			kept = kind->insert_at(table, &item, sizeof(item), &is_new, node, result);
		}
		expect(1062, is_new, kept != NULL);
		if (kept) {
			expect(1063, kept != &item && kept->key == item.key && kept->value == i, TRUE);
			count++;
		}
	}
	return count;
}

NOINLINE static void generic(const KIND *kind, PVOID table, BOOLEAN by_insertion)
{
	ULONG count, seen = 0, last = 0, result;
	PVOID key = NULL, node;
	BOOLEAN is_new;
	ITEM *item, probe = { 0, 0 };

	expect(1070, kind->is_empty(table) && !kind->count(table) && !kind->look_up(table, &probe), TRUE);
	count = fill(kind, table);
	expect(1071, kind->count(table), count);
	while ((item = kind->enumerate_by_key(table, &key))) {
		expect(1072, seen == 0 || item->key > last, TRUE);
		last = item->key;
		probe.key = last;
		expect(1073, (ULONG64)kind->look_up(table, &probe), (ULONG64)item);
		expect(1074, (ULONG64)kind->look_up_place(table, &probe, &node, &result), (ULONG64)item);
		expect(1075, result, 1);
		expect(1076, (ULONG64)kind->insert(table, &probe, sizeof(probe), &is_new), (ULONG64)item);
		expect(1077, is_new, FALSE);
		seen++;
	}
	expect(1078, seen, count);
	expect(1079, (ULONG64)kind->get(table, count), 0);
	last = 0;
	for (ULONG i = 0; i < count; i++) {
		item = kind->get(table, i);
		expect(1080, item && (i == 0 || (by_insertion ? item->value : item->key) > last), TRUE);
		last = by_insertion ? item->value : item->key;
	}
	/* What is found goes at once; the enumeration goes on behind it. */
	seen = 0;
	for (item = kind->enumerate(table, TRUE); item; item = kind->enumerate(table, FALSE)) {
		probe = *item;
		if (probe.key & 1) {
			expect(1081, kind->remove(table, &probe), TRUE);
			expect(1082, kind->remove(table, &probe), FALSE);
		}
		seen++;
	}
	expect(1083, seen, count);
	for (ULONG i = 0; i < ITEMS; i++) {
		probe.key = shuffled(i);
		item = kind->look_up(table, &probe);
		expect(1084, kind->remove(table, &probe), item != NULL);
	}
	expect(1085, kind->is_empty(table), TRUE);
}

NOINLINE static void trees(void)
{
	static const KIND SPLAY = { RtlInsertElementGenericTable, RtlInsertElementGenericTableFull,
				    RtlLookupElementGenericTable, RtlLookupElementGenericTableFull,
				    RtlDeleteElementGenericTable, RtlEnumerateGenericTable,
				    RtlEnumerateGenericTableWithoutSplaying, RtlGetElementGenericTable,
				    RtlIsGenericTableEmpty, RtlNumberGenericTableElements };
	static const KIND AVL = { RtlInsertElementGenericTableAvl, RtlInsertElementGenericTableFullAvl,
				  RtlLookupElementGenericTableAvl, RtlLookupElementGenericTableFullAvl,
				  RtlDeleteElementGenericTableAvl, RtlEnumerateGenericTableAvl,
				  RtlEnumerateGenericTableWithoutSplayingAvl, RtlGetElementGenericTableAvl,
				  RtlIsGenericTableEmptyAvl, RtlNumberGenericTableElementsAvl };
	TABLE table;
	AVL_TABLE avl;

	RtlInitializeGenericTable(&table, compare, allocate, release, &table);
	expect(1090, table.context == &table, TRUE);
	generic(&SPLAY, &table, TRUE);
	RtlInitializeGenericTableAvl(&avl, compare, allocate, release, &avl);
	expect(1091, avl.context == &avl, TRUE);
	generic(&AVL, &avl, FALSE);
}

/* How many entries of a signature there are. */
static ULONG alike(HASH_TABLE *table, ULONG_PTR signature)
{
	HASH_CONTEXT context = { 0 };
	ULONG count = 0;

	for (HASH_ENTRY *entry = RtlLookupEntryHashTable(table, signature, &context); entry;
	     entry = RtlGetNextEntryHashTable(table, &context)) {
		expect(1100, entry->signature, signature);
		count++;
	}
	return count;
}

NOINLINE static void hashes(void)
{
	HASH_ENTRY entries[ITEMS], *entry;
	HASH_ENUMERATOR enumerator, second;
	HASH_TABLE *table = NULL, here, *given = &here;
	ULONG seen = 0, size;

	if (RtlCreateHashTableEx(&given, 256, 0, 0)) {
		expect(1101, given == &here && here.size == 256 && here.flags == 0, TRUE);
		RtlDeleteHashTable(given);
	}
	if (!RtlCreateHashTable(&table, 0, 0))
		return;
	size = table->size;
	expect(1102, table->entries == 0 && table->used == 0 && size >= 128, TRUE);
	for (ULONG i = 0; i < ITEMS; i++)
		expect(1103, RtlInsertEntryHashTable(table, &entries[i], 1000 + i / 2, NULL), TRUE);
	expect(1104, table->entries == ITEMS && table->used > 1 && table->used <= ITEMS / 2, TRUE);
	for (ULONG i = 0; i < ITEMS / 2; i++)
		expect(1105, alike(table, 1000 + i), 2);
	expect(1106, alike(table, 999), 0);
	/* It grows and shrinks, and all entries are found. */
	for (ULONG i = 0; i < 2 * size; i++)
		(void)RtlExpandHashTable(table);
	for (ULONG i = 0; i < ITEMS / 2; i++)
		expect(1107, alike(table, 1000 + i), 2);
	while (RtlContractHashTable(table))
		;
	expect(1108, table->size, size);
	for (ULONG i = 0; i < ITEMS / 2; i++)
		expect(1109, alike(table, 1000 + i), 2);
	/* Every entry is met once, also when it goes at once; another enumeration is not met. */
	expect(1110, RtlInitEnumerationHashTable(table, &enumerator), TRUE);
	expect(1111, RtlInitWeakEnumerationHashTable(table, &second), TRUE);
	expect(1112, table->enumerators, 2);
	expect(1113, RtlExpandHashTable(table), FALSE);
	while ((entry = RtlEnumerateEntryHashTable(table, &enumerator))) {
		expect(1114, entry >= entries && entry < entries + ITEMS, TRUE);
		if (entry->signature & 1)
			expect(1115, RtlRemoveEntryHashTable(table, entry, NULL), TRUE);
		seen++;
	}
	expect(1116, seen, ITEMS);
	RtlEndEnumerationHashTable(table, &enumerator);
	for (seen = 0; RtlWeaklyEnumerateEntryHashTable(table, &second); seen++)
		;
	expect(1117, seen, ITEMS / 2);
	RtlEndWeakEnumerationHashTable(table, &second);
	expect(1118, table->entries == ITEMS / 2 && table->enumerators == 0, TRUE);
	for (ULONG i = 0; i < ITEMS; i++)
		if (!(entries[i].signature & 1))
			RtlRemoveEntryHashTable(table, &entries[i], NULL);
	expect(1119, table->entries == 0 && table->used == 0, TRUE);
	RtlDeleteHashTable(table);
}

/* Runs all trials. */
void tables(void)
{
	trees();
	hashes();
}
