# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What is handed out: tarball, packages, the ABI, projects in other build systems and languages.
# Sourced by .ci/run.

step deb 16 make check-deb
step dist 8 make check-dist
step rpm 8 make check-rpm
step alpine 8 make check-alpine
step abi 6 make check-abi WERROR=1
step consumers 8 make check-consumers WERROR=1
step ffi 6 make check-ffi WERROR=1
step python 8 make check-python WERROR=1
