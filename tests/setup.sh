#!/usr/bin/env bash
# nextest calls this before the tests that need it: infra | services.
set -euo pipefail
state="${SHEQUN_TEST_STATE:-$PWD/.shequn/test}"
up=(deploy/dev/stack.py --state "$state" up)
if [ "$1" = services ]; then
    "${up[@]}" --services --build-dir "${SHEQUN_PROGRAMS:-target/debug}" >/dev/null
else
    "${up[@]}" >/dev/null
fi
echo "SHEQUN_TEST_STATE=$state" >>"$NEXTEST_ENV"
