# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Real memory pressure, on an idle machine. Sourced by .ci/run.

alone check-daemon 5 make check-daemon WERROR=1
alone check-pressure 10 make check-pressure SHORT=1
