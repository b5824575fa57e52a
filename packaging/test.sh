#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what is missing, builds everything and runs every test. Exit status and closing lines are ctest's.
set -euo pipefail
cd "$(dirname "$0")/.."

packaging/deps.sh
cmake --preset release
cmake --build --preset release
ctest --preset release --output-on-failure
