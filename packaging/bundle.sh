#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Collects built programs and every shared library they need in one folder, for machines that have none of them (the
# preset `headless` has the fewest):
#   packaging/bundle.sh BUILD_DIR OUTPUT_DIR [--without-cublas]
# OUTPUT_DIR/bin has the programs and the CUDA module, lib their libraries, glibc the C library and its loader, for
# machines whose own is older than this one's, COMMIT what was built. The programs find lib by themselves; that they start
# from there with nothing in the environment is tried before OUTPUT_DIR gets its name.
# tests/benchmarks/gpu_session.sh --prebuilt OUTPUT_DIR uses it.
# --without-cublas leaves out cuBLAS (half a gigabyte), which machines with a CUDA toolkit have.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '3,11s/^# //p' "$0" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
output=$2
without_cublas=${3:-}
if [ -n "$without_cublas" ] && [ "$without_cublas" != --without-cublas ]; then
    echo "bundle.sh: unknown option $without_cublas" >&2
    exit 2
fi
if [ -e "$output" ]; then
    echo "bundle.sh: $output exists already" >&2
    exit 1
fi

programs=()
for name in eigenscope-cli eigenscope-op-check eigenscope-calibration-bench libeigenscope_cuda.so; do
    if [ -e "$build/bin/$name" ]; then
        programs+=("$build/bin/$name")
    elif [ "$name" != libeigenscope_cuda.so ]; then
        echo "bundle.sh: $build/bin/$name is missing; build the targets eigenscope-cli, eigenscope-op-check, eigenscope-calibration-bench and eigenscope_cuda" >&2
        exit 1
    else
        echo "bundle.sh: no CUDA module in $build/bin: the bundle computes on the CPU alone" >&2
    fi
done

# Whole or not at all: put together beside the target, then renamed.
temporary=$output.partial.$$
trap 'rm -rf "$temporary"' EXIT
mkdir -p "$temporary/bin" "$temporary/lib" "$temporary/glibc"
cp "${programs[@]}" "$temporary/bin/"
libraries=$(ldd "${programs[@]}" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && NF == 2 { print $1 }' | sort -u)
missing=$(ldd "${programs[@]}" | awk '/not found/ { print $1 }' | sort -u)
for library in $libraries; do
    name=$(basename "$library")
    case $name in
        libcublas*) [ -n "$without_cublas" ] || cp -L "$library" "$temporary/lib/" ;;
        libcuda.so*) ;;  # the driver's own
        ld-linux*|libc.so.*|libm.so.*|libpthread.so.*|libdl.so.*|librt.so.*|libresolv.so.*)
            cp -L "$library" "$temporary/glibc/" ;;
        *) cp -L "$library" "$temporary/lib/" ;;
    esac
done
for name in $missing; do
    case $name in
        libcublas*) [ -n "$without_cublas" ] || echo "bundle.sh: $name was not found; the other machine must have it" >&2 ;;
        *) echo "bundle.sh: $name was not found" >&2; exit 1 ;;
    esac
done
# Started through the loader, a program takes the loader's folder for its own, and looks for its module there.
loader=$(basename "$(ls "$temporary"/glibc/ld-linux* | head -n 1)")
cp "$temporary/glibc/$loader" "$temporary/bin/$loader"
root=$(cd "$(dirname "$0")/.." && pwd)
if commit=$(git -C "$root" rev-parse HEAD 2> /dev/null); then
    [ -z "$(git -C "$root" status --porcelain --untracked-files=no)" ] || commit="$commit, changed"
    echo "$commit" > "$temporary/COMMIT"
fi

# Nothing but the bundle and the C library.
for name in "$temporary"/bin/eigenscope-* "$temporary"/bin/*.so; do
    [ -e "$name" ] || continue
    strange=$(env -i ldd "$name" | awk -v lib="$(realpath "$temporary")/" '
        /linux-vdso|ld-linux/ { next }
        $1 ~ /^lib(c|m|pthread|dl|rt|resolv)\.so/ { next }
        { command = "realpath -m " $3; command | getline path; close(command); if (index(path, lib) != 1) print $1 }')
    [ -z "$without_cublas" ] || strange=$(grep -v '^libcublas' <<< "$strange" || true)
    if [ -n "$strange" ]; then
        echo "bundle.sh: $(basename "$name") would take from the machine:" $strange >&2
        exit 1
    fi
done
env -i "$temporary/bin/eigenscope-cli" --version > /dev/null
mv "$temporary" "$output"
du -sh "$output"
