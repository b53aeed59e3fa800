# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# README's test command, then what later steps share: packages (apt runs once at a time) and builds.
# Sourced by .ci/run.
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
alone check 15 env WERROR=1 bash -c readme
alone deps 10 make deps-vm deps-cross deps-dist deps-python
alone build-gcc 6 make "$jobs" all examples tests WERROR=1
