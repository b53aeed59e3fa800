/* SPDX-License-Identifier: MIT */
/*
 * Calls on areas whose shared state may say anything. Nobody can say what the right answer is then,
 * but only the answers that the headers name are allowed, and every call comes back and touches
 * nothing but the area.
 */
#ifndef TESTS_SUPPORT_HOSTILE_H
#define TESTS_SUPPORT_HOSTILE_H

#include <ashmem/ashmem.h>

/*
 * Make every call on an area once, with good arguments. Returns 1 at the first call that answers
 * ETIMEDOUT, because every further one can take as long, else 0.
 */
int exercise_area(struct ashmem_area *area);

/* How many of its calls have answered EUCLEAN in this process. */
extern int damage_reports;

#endif
