# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What is handed out: tarball, packages, the ABI, projects in other build systems and languages.
# Sourced by .ci/run.

step deps-dist 5 make deps-dist
step dist 4 make check-dist
step deb 10 make check-deb
step rpm 5 make check-rpm
step alpine 5 make check-alpine
step abi 3 make check-abi WERROR=1
step consumers 4 make check-consumers WERROR=1
step ffi 3 make check-ffi WERROR=1
step python 5 bash -c 'make deps-python >&2 && make check-python WERROR=1'
