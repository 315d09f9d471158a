#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Asks Bazel whether there is every target that a document names; capitals stand for any name. A
# test cannot: Bazel does not answer while it runs one. Exit code: 1 where a target is missing.
set -eu

cd "$(dirname "$0")/../.."
documents=$(ls ./*.md; find docs -name '*.md')
labels=$(grep -ohP '(?<![\w:/])//(?=[a-z:.])[\w/]*(\.\.\.|:\w+)?' $documents | grep -v '[A-Z]' | sort -u)

exists() {
    ./tools/bazel query --noshow_progress --ui_event_filters=-info "$1" >/dev/null
}

if exists "set($labels)"; then
    echo "Bazel knows the $(echo "$labels" | wc -l) targets that documents name"
    exit 0
fi
for label in $labels; do
    exists "$label" 2>/dev/null || grep -nF -e "$label" $documents
done
exit 1
