/* SPDX-License-Identifier: MIT */
/*
 * The library's own code in memory, so that it runs at once where memory is short: code is what
 * the kernel drops first under a limit, since it can read it again, and reading takes long then.
 *
 * Includes nothing, takes no lock, needs no other file.
 */
#ifndef ASHMEM_LIB_BASE_RESIDENT_H
#define ASHMEM_LIB_BASE_RESIDENT_H

/*
 * Lock the code, constants and variables of the object that the library is part of, as far as
 * RLIMIT_MEMLOCK allows: 0, or a negative errno. -E2BIG: it is part of a large program. They stay
 * locked until the object is unloaded, and are not in a child of fork.
 */
int resident_lock_code(void);

/* Touch the stack of this thread, as deep as relief may need. */
void resident_touch_stack(void);

#endif /* ASHMEM_LIB_BASE_RESIDENT_H */
