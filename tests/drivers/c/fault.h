/* What the plays of `fault.c`, `hang.c` and `library_fault.c` have in common. */
#pragma once
#include "filter.h"

#define stay() __asm__ volatile("" ::: "memory")

#define ONE_SECOND (-10000000ll)
#define SIZE 40

/* SIZE bytes of pool. */
UCHAR *block(void);

void sleep_for_ever(MODULE *module);
void sleep_in_work(MODULE *module);
void sleep_at_detach(MODULE *module);
void thread_left(MODULE *module);
void thread_spins(MODULE *module);
void thread_waited_for(MODULE *module);
void set_soon(MODULE *module);
void cancel_soon(MODULE *module);
void text_unterminated(MODULE *module);
void text_past(MODULE *module);
void text_wild(MODULE *module);
void sid_null(MODULE *module);
void acl_at_dispatch(MODULE *module);
void hash_left(MODULE *module);
void hash_twice(MODULE *module);
void sort_past(MODULE *module);
