#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Builds the fuzz targets of tests/fuzz with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and runs each for a
# while. Stops at the first one that fails; its input is then in build/fuzz/found/TARGET.
# Usage: fuzz.sh [SECONDS [TARGET ...]]: seconds for each target (60), all targets when none is named.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
if ! command -v clang++ >/dev/null; then
    echo "fuzz.sh: clang++ is missing: apt-get install clang" >&2
    exit 1
fi

cmake --preset fuzz
cmake --build --preset fuzz

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for program in build/fuzz/fuzz/fuzz_*; do
        targets+=("$(basename "$program" | sed 's/^fuzz_//')")
    done
fi

dictionary() {  # TARGET: words that help it
    case $1 in
        safetensors | safetensors_header) echo safetensors ;;
        statistics | partial_calibration) echo statistics ;;
        zip_archive | pytorch_file) echo zip_archive ;;
        model_config | low_rank_description) echo model_config ;;
        tokenizer_json | vocab_merges) echo tokenizer_json ;;
        corpus | checkpoint_index) echo corpus ;;
        *) echo "$1" ;;
    esac
}

for target in "${targets[@]}"; do
    work=build/fuzz/corpus/$target found=build/fuzz/found/$target
    mkdir -p "$work" "$found"
    options=(-max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256
        -print_final_stats=1 -artifact_prefix="$found/")
    words=tests/fuzz/dictionaries/$(dictionary "$target").dict
    [ ! -f "$words" ] || options+=(-dict="$words")
    echo "== $target, $seconds s"
    "build/fuzz/fuzz/fuzz_$target" "${options[@]}" "$work" "tests/fuzz/corpus/$target"
done
