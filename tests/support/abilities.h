/* SPDX-License-Identifier: MIT */
/*
 * What some tests need of the system, found out by trying, whatever the system is: emulators of
 * user programs lack much of it, and so do old kernels. Each ends the test as skipped, with the
 * reason, if it is not there. See also skip_without_owner_death() in locks.h.
 */
#ifndef TESTS_SUPPORT_ABILITIES_H
#define TESTS_SUPPORT_ABILITIES_H

/* MADV_WIPEONFORK wipes; Linux 4.14. */
void skip_without_wiping_on_fork(void);

/* RLIMIT_AS limits. */
void skip_without_address_space_limit(void);

/* Mappings of a file's pages behind 4 GiB show these pages. */
void skip_without_far_mappings(void);

/* MAP_SHARED_VALIDATE, Linux 4.15. */
void skip_without_shared_validate(void);

/* MADV_POPULATE_READ does something, if only to say that the kernel has no such thing. */
void skip_without_populating(void);

/* munmap(2) leaves nothing behind. */
void skip_without_unmapping(void);

/* Descriptors that do not fit the receiver's buffer are closed. */
void skip_without_closing_of_surplus_descriptors(void);

#endif
