/* Tells callgrind, which runs the program, what to count.

   Compiled to a shared library, and called by tests/benchmarks/counted.py. */

#include <valgrind/callgrind.h>

void start_instrumentation(void)
{
    CALLGRIND_START_INSTRUMENTATION;
}

/* Begin to count, or end. */
void toggle(void)
{
    CALLGRIND_TOGGLE_COLLECT;
}

void forget(void)
{
    CALLGRIND_ZERO_STATS;
}

/* Write what has been counted to a file, under a name. */
void write_down(const char *name)
{
    CALLGRIND_DUMP_STATS_AT(name);
}
