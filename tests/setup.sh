#!/usr/bin/env bash
# nextest calls this before the tests that need it: infra | services.
set -euo pipefail
state="$PWD/.shequn/test"
up=(deploy/dev/stack.py --state "$state" up)
if [ "$1" = services ]; then
    "${up[@]}" --services >/dev/null
else
    "${up[@]}" >/dev/null
fi
echo "SHEQUN_TEST_STATE=$state" >>"$NEXTEST_ENV"
