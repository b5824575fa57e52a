#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# From a fresh clone to the demo: installs what is missing, builds, and starts the window on the demo model. Without a
# screen, the same tour runs in the terminal and leaves a report to open in a browser.
# Usage: packaging/run.sh [MODEL]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
demo=$root/resources/demo
model=${1:-$demo/llama-stories}

"$root/packaging/deps.sh"
(
    cd "$root"
    cmake --preset release
    cmake --build --preset release --target eigenscope eigenscope-cli
)
bin=$root/build/release/bin

if [ -n "${DISPLAY:-}" ] || [ -n "${WAYLAND_DISPLAY:-}" ]; then
    exec "$bin/eigenscope" "$model"
fi

# Never over an older report.
output=eigenscope-report
number=1
while [ -e "$output" ]; do
    number=$((number + 1))
    output=eigenscope-report-$number
done
echo "There is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set): running the tour in the terminal."
"$bin/eigenscope-cli" report "$model" --calibration-text "$demo/text/calibration.txt" \
    --text "$demo/text/heldout.txt" --output "$output"
echo
echo "The report is in ./$output/report.html; open it in any browser."
