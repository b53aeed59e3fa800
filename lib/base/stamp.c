/* SPDX-License-Identifier: MIT */
/* The clock of each thread: see stamp.h. */
#include "base/stamp.h"

THREAD_LOCAL struct stamp_clock stamp_clock;
