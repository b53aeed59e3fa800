# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The test suite: whole under the address sanitizer; its tests of the interface with clang, without
# assertions and under valgrind. Sourced by .ci/run.
: "${jobs:?}"

step check-asan 20 make "$jobs" check-asan
step check-valgrind 16 make "$jobs" check-valgrind SHORT=1
step check-tsan 14 make "$jobs" check-tsan
step check-clang 12 make "$jobs" all examples tests check CC=clang BUILD=build/clang WERROR=1 \
  SHORT=1
step check-ndebug 10 make "$jobs" check-ndebug WERROR=1 SHORT=1
