/* SPDX-License-Identifier: MIT */
/*
 * What every fuzzer here has: the functions that libFuzzer calls, and an expectation that is not
 * compiled out.
 */
#ifndef TESTS_HOSTILE_FUZZ_H
#define TESTS_HOSTILE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition)                                                                 \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

#endif
