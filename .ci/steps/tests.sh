# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The test suite: whole with gcc and under the address sanitizer; its tests of the interface with
# clang, without assertions and under valgrind. Sourced by .ci/run.
: "${jobs:?}"

# The command as README gives it; sudo where there is one to use.
readme() {
  local command='sudo make deps && make check'
  if ! grep -qF "$command" README.md; then
    echo "README.md does not give the command: $command"
    return 1
  fi
  if [ "$(id -u)" = 0 ]; then command=${command#sudo }; fi
  bash -c "$command"
}

export -f readme

# WERROR=1 in the environment: the steps in build/ share what the first of them builds.
step check 10 env WERROR=1 bash -c readme
step build-gcc 4 make "$jobs" all examples tests WERROR=1
step build-clang 5 make "$jobs" all examples tests WERROR=1 CC=clang BUILD=build/clang
step check-clang 6 make "$jobs" check WERROR=1 CC=clang BUILD=build/clang SHORT=1
step check-ndebug 8 make "$jobs" check-ndebug WERROR=1 SHORT=1
step check-asan 12 make "$jobs" check-asan
step check-tsan 8 make "$jobs" check-tsan
step check-valgrind 10 make "$jobs" check-valgrind SHORT=1
