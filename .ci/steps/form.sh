# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What readers and users see: headers, exports, examples, style, the manual, the tools; and that the
# hot paths got no longer. Sourced by .ci/run.
: "${jobs:?}"

step check-instructions 4 make check-instructions WERROR=1
step check-headers 5 make "$jobs" check-headers
step check-exports 3 make "$jobs" check-exports WERROR=1
step check-install 5 make "$jobs" check-install
step check-examples 4 make "$jobs" check-examples
step check-style 8 make "$jobs" check-style WERROR=1
step docs 3 make docs
step demo 5 make demo WERROR=1
step tools 2 make check-tools WERROR=1
step compat 2 make check-compat WERROR=1
