# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What readers and users see: headers, exports, examples, style, the manual, the tools; and that the
# hot paths got no longer. Sourced by .ci/run.
: "${jobs:?}"

step check-instructions 6 make check-instructions WERROR=1
step check-headers 8 make "$jobs" check-headers
step check-exports 4 make "$jobs" check-exports WERROR=1
step check-install 8 make "$jobs" check-install
step check-examples 8 make "$jobs" check-examples
step check-style 12 make "$jobs" check-style WERROR=1
step check-docs 8 make check-docs SHORT=1
step demo 8 make demo WERROR=1
step check-run 8 make "$jobs" check-run WERROR=1 SHORT=1
step tools 4 make check-tools WERROR=1
step check-cutils 4 make check-cutils WERROR=1
