/*
 * What structured exception handling promises, tried: each trial leaves its steps in the order in which
 * they were taken, one digit each, and the driver stops the system where that is another than it must be.
 *
 * The driver runs them in its work item, at PASSIVE_LEVEL.
 */
#include "filter.h"

#define EXECUTE_HANDLER 1
#define CONTINUE_SEARCH 0
#define CONTINUE_EXECUTION (-1)

#define ACCESS_VIOLATION 0xC0000005ul
#define MISALIGNMENT 0x80000002ul
#define DIVIDE_BY_ZERO 0xC0000094ul
#define BREAKPOINT 0x80000003ul
#define ASSERTION_FAILURE 0xC0000420ul
#define OURS 0xE0000001ul
#define OTHER 0xE0000002ul

typedef struct RECORD {
	ULONG code;
	ULONG flags;
	struct RECORD *inner;
	PVOID address;
	ULONG count;
	ULONG_PTR information[15];
} RECORD;

typedef struct POINTERS {
	RECORD *record;
	UCHAR *context;
} POINTERS;

__declspec(dllimport) void RtlRaiseException(RECORD *record);
__declspec(dllimport) void ExRaiseAccessViolation(void);
__declspec(dllimport) void RtlCaptureContext(void *context);
__declspec(dllimport) void *RtlLookupFunctionEntry(ULONG64 pc, ULONG64 *base, void *history);
__declspec(dllimport) void *RtlVirtualUnwind(ULONG kind, ULONG64 base, ULONG64 pc, void *entry,
	void *context, void **data, ULONG64 *frame, void *pointers);

/* An address of user mode where nothing is. */
static UCHAR *volatile user = (UCHAR *)0x10000;
static volatile ULONG zero;

static ULONG steps;

static void step(ULONG digit)
{
	steps = steps * 10 + digit;
}

static int step_and(ULONG digit, int answer)
{
	step(digit);
	return answer;
}

static void check(ULONG trial, ULONG64 is, ULONG64 must)
{
	expect_telling(trial, is, must, steps);
}

/* The steps since the last trial. */
static void expect_steps(ULONG trial, ULONG must)
{
	ULONG taken = steps;

	steps = 0;
	check(trial, taken, must);
}

NOINLINE static UCHAR read_user(void)
{
	return *user;
}

NOINLINE static void raise(ULONG code)
{
	ExRaiseStatus((NTSTATUS)code);
}

/* A fault of the processor, in this function and in one that it calls; registers that it keeps are kept. */
NOINLINE static void hardware(void)
{
	volatile ULONG one = 1;
	ULONG64 kept = steps + 77;
	ULONG code = 0;

	__try {
		kept += *user;
	} __except (step_and(1, EXECUTE_HANDLER)) {
		code = _exception_code();
		step(2);
	}
	check(1, code, ACCESS_VIOLATION);
	__try {
		kept += read_user();
		step(9);
	} __except (EXECUTE_HANDLER) {
		code = _exception_code();
		step(3);
	}
	check(2, code, ACCESS_VIOLATION);
	__try {
		one = one / zero;
	} __except (_exception_code() == DIVIDE_BY_ZERO ? EXECUTE_HANDLER : CONTINUE_SEARCH) {
		step(4);
	}
	check(3, kept, 77);
	expect_steps(4, 1234);
}

static int told(POINTERS *pointers, RECORD *copy)
{
	*copy = *pointers->record;
	return EXECUTE_HANDLER;
}

/* What a filter is told. */
NOINLINE static void information(void)
{
	RECORD record = { 0 };

	__try {
		user[5] = 1;
	} __except (told((POINTERS *)_exception_info(), &record)) {
		step(1);
	}
	check(10, record.code, ACCESS_VIOLATION);
	check(11, record.count, 2);
	check(12, record.information[0], 1);
	check(13, record.information[1], (ULONG_PTR)(user + 5));
	expect_steps(14, 1);
}

/* Filters run innermost first, and all before any block of what is unwound. */
NOINLINE static void nested(void)
{
	__try {
		__try {
			__try {
				__try {
					raise(OURS);
					step(9);
				} __finally {
					step(_abnormal_termination() ? 4 : 9);
				}
			} __except (step_and(1, CONTINUE_SEARCH)) {
				step(9);
			}
		} __finally {
			step(5);
		}
	} __except (step_and(2, CONTINUE_SEARCH) || step_and(3, EXECUTE_HANDLER)) {
		step(_exception_code() == OURS ? 6 : 9);
	}
	expect_steps(20, 123456);
}

NOINLINE static void level(ULONG depth)
{
	__try {
		if (depth == 0)
			raise(OURS);
		level(depth - 1);
		step(9);
	} __finally {
		step(depth + 1);
	}
	step(9);
}

NOINLINE static void deep(void)
{
	__try {
		level(3);
	} __except (EXECUTE_HANDLER) {
		step(5);
	}
	expect_steps(30, 12345);
}

NOINLINE static ULONG returns_from_try(void)
{
	__try {
		step(1);
		return steps;
	} __finally {
		step(_abnormal_termination() ? 3 : 2);
	}
	return 0;
}

/* A block that is left in the usual way, by `__leave` and by `return`. */
NOINLINE static void without_exception(void)
{
	__try {
		if (!zero)
			__leave;
		step(9);
	} __finally {
		step(_abnormal_termination() ? 9 : 1);
	}
	returns_from_try();
	check(40, steps / 10, 11);
	steps = 0;
}

/* An exception in a filter, one in a handler, and one in a block that unwinding runs (which collides). */
NOINLINE static int raising_filter(void)
{
	__try {
		raise(OTHER);
	} __except (_exception_code() == OTHER ? EXECUTE_HANDLER : CONTINUE_SEARCH) {
		step(2);
	}
	return EXECUTE_HANDLER;
}

NOINLINE static void collide(void)
{
	__try {
		__try {
			__try {
				raise(OURS);
			} __finally {
				step(1);
				raise(OTHER);
			}
		} __finally {
			step(2);
		}
	} __except (_exception_code() == OTHER ? EXECUTE_HANDLER : CONTINUE_SEARCH) {
		step(3);
	}
}

NOINLINE static void exceptions_in_handlers(void)
{
	__try {
		step(1);
		raise(OURS);
	} __except (raising_filter()) {
		step(_exception_code() == OURS ? 3 : 9);
	}
	expect_steps(50, 123);
	__try {
		__try {
			raise(OURS);
		} __except (EXECUTE_HANDLER) {
			step(1);
			raise(OTHER);
		}
	} __except (_exception_code() == OTHER ? EXECUTE_HANDLER : CONTINUE_SEARCH) {
		step(2);
	}
	expect_steps(51, 12);
	/* The frame that would handle the first exception is unwound by the second. */
	__try {
		collide();
		step(4);
	} __except (EXECUTE_HANDLER) {
		step(9);
	}
	expect_steps(52, 1234);
}

/* A filter may send an exception back to where it was raised. */
NOINLINE static void continued(void)
{
	RECORD record = { .code = OURS, .count = 1, .information = { 7 } };

	__try {
		RtlRaiseException(&record);
		step(2);
		__debugbreak();
		step(9);
	} __except (_exception_code() == OURS ?
		    step_and(1, CONTINUE_EXECUTION) : step_and(3, EXECUTE_HANDLER)) {
		step(_exception_code() == BREAKPOINT ? 4 : 9);
	}
	expect_steps(60, 1234);
	__try {
		__asm__ volatile("int $0x2c");
	} __except (EXECUTE_HANDLER) {
		step(_exception_code() == ASSERTION_FAILURE ? 1 : 9);
	}
	/* Without a debugger, its service does nothing. */
	__asm__ volatile("int $0x2d; int3" ::: "eax", "ecx", "edx");
	expect_steps(61, 1);
}

NOINLINE static ULONG code_of_probe(PVOID address, SIZE_T length, ULONG alignment, BOOLEAN writes)
{
	ULONG code = 0;

	__try {
		if (writes)
			ProbeForWrite(address, length, alignment);
		else
			ProbeForRead(address, length, alignment);
	} __except (EXECUTE_HANDLER) {
		code = _exception_code();
	}
	return code;
}

/* Addresses of user mode, as a request without a buffer of the system's brings them. */
NOINLINE static void probes(MODULE *module)
{
	UCHAR copy[64];
	ULONG code = 0;
	MDL *mdl;

	check(70, code_of_probe(user, 64, 4, FALSE), 0);
	check(71, code_of_probe(user + 1, 64, 4, FALSE), MISALIGNMENT);
	check(72, code_of_probe(module, 64, 4, FALSE), ACCESS_VIOLATION);
	check(73, code_of_probe(module, 0, 4, FALSE), 0);
	check(74, code_of_probe(user, (SIZE_T)-1, 1, FALSE), ACCESS_VIOLATION);
	check(75, code_of_probe(user, 64, 4, TRUE), ACCESS_VIOLATION);
	__try {
		memcpy(copy, user, sizeof(copy));
		step(9);
	} __except (EXECUTE_HANDLER) {
		code = _exception_code();
		step(1);
	}
	check(76, code, ACCESS_VIOLATION);
	mdl = IoAllocateMdl(user, 64, FALSE, FALSE, NULL);
	if (mdl) {
		code = 0;
		__try {
			MmProbeAndLockPages(mdl, UserMode, IoReadAccess);
			MmUnlockPages(mdl);
		} __except (EXECUTE_HANDLER) {
			code = _exception_code();
		}
		IoFreeMdl(mdl);
		check(77, code, ACCESS_VIOLATION);
	}
	code = 0;
	__try {
		ExRaiseAccessViolation();
	} __except (EXECUTE_HANDLER) {
		code = _exception_code();
	}
	check(78, code, ACCESS_VIOLATION);
	expect_steps(79, 1);
}

/* One frame up by the image's own tables. */
NOINLINE static ULONG64 caller(void)
{
	__declspec(align(16)) UCHAR context[1232];
	ULONG64 *rip = (ULONG64 *)(context + 0xF8);
	ULONG64 base = 0, frame = 0;
	void *data = NULL, *entry;

	RtlCaptureContext(context);
	entry = RtlLookupFunctionEntry(*rip, &base, NULL);
	check(80, entry != NULL && base != 0, TRUE);
	RtlVirtualUnwind(0, base, *rip, entry, context, &data, &frame, NULL);
	check(81, frame != 0, TRUE);
	return *rip;
}

NOINLINE static void unwound(void)
{
	ULONG64 is = caller();

	check(82, is > (ULONG64)unwound && is < (ULONG64)unwound + 256, TRUE);
}

/* Runs all trials. */
void seh(MODULE *module)
{
	hardware();
	information();
	nested();
	deep();
	without_exception();
	exceptions_in_handlers();
	continued();
	probes(module);
	unwound();
}
