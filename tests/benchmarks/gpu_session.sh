#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that wants a GPU, in one command:
#   tests/benchmarks/gpu_session.sh [--device cuda|cpu] [--prebuilt DIR] [--output FILE] [--build-dir DIR] [--quick]
#                                   [--only PART,PART,...]
# Builds what it needs without Qt (--prebuilt: uses a folder that packaging/bundle.sh made elsewhere), then runs its parts:
#   op_check     every op case against the reference backend
#   op_bench     the op benchmark
#   torch        PyTorch's attention on the same shapes
#   models       bench of preset:llama-2-7b and preset:llama-3-8b, random weights, batch 1
#   memcheck, racecheck   compute-sanitizer over the op cases
#   parity       the demo models here and on the host: logits, greedy tokens, perplexity
# and puts all results in one JSON file, results/<date>-<device>.json beside this script unless --output names another.
# A part that cannot run says why, there and on the terminal, and the others go on. Exit status: 0 unless a part failed.
# --device cpu tries the session itself on a machine without a GPU, --quick with less work.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
device=cuda prebuilt='' output='' build='' quick=0 only=''
parts=(op_check op_bench torch models memcheck racecheck parity)

usage() { sed -n '3,17s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=${2:?}; shift ;;
        --prebuilt) prebuilt=$(cd "${2:?}" && pwd) || exit 2; shift ;;
        --output) output=${2:?}; shift ;;
        --build-dir) build=${2:?}; shift ;;
        --only) only=,${2:?},; shift ;;
        --quick) quick=1 ;;
        --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
case $device in cuda|cpu) ;; *) echo "gpu_session.sh: --device is cuda or cpu, found $device" >&2; exit 2 ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

say() { printf '\n== %s\n' "$*"; }
# JSON text of a string.
quote() {
    local text=$1
    text=${text//\\/\\\\}; text=${text//\"/\\\"}; text=${text//$'\n'/\\n}; text=${text//$'\t'/ }; text=${text//$'\r'/}
    printf '"%s"' "$text"
}
# result PART STATUS [REASON] [JSON FILE]: notes what a part left.
result() {
    printf '{"status": %s, "reason": %s, "result": %s}' "$(quote "$2")" \
        "$([ -n "${3:-}" ] && quote "$3" || echo null)" "$([ -n "${4:-}" ] && [ -s "$4" ] && cat "$4" || echo null)" \
        > "$work/$1.part"
    printf '%s: %s%s\n' "$1" "$2" "${3:+ ($3)}"
    [ "$2" != failed ] || failed=1
}
# The last lines of a log, for reasons.
tail_of() { tail -n 3 "$1" | tr '\n' ' ' | cut -c 1-400; }

# --- programs -------------------------------------------------------------------------------------------------------

launcher=()
prepare_programs() {
    if [ -n "$prebuilt" ]; then
        bin=$prebuilt/bin
        # For these programs alone: others, such as nvidia-smi, must not meet the bundle's libraries.
        local libraries=$prebuilt/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        launcher=(env "LD_LIBRARY_PATH=$libraries")
        if ! "${launcher[@]}" "$bin/eigenscope-cli" --version > "$work/version" 2>&1; then
            # An older C library than the one the programs were built with: start them with that one.
            local loader
            loader=$(ls "$bin"/ld-linux* | head -n 1)
            launcher=("$loader" --library-path "$prebuilt/glibc:$libraries:/usr/local/cuda/lib64:/usr/lib/x86_64-linux-gnu:/usr/lib64")
            if ! "${launcher[@]}" "$bin/eigenscope-cli" --version > "$work/version" 2>&1; then
                echo "gpu_session.sh: the programs in $prebuilt do not start: $(tail_of "$work/version")" >&2
                return 1
            fi
        fi
    else
        build=${build:-$root/build/gpu-session}
        local cuda=AUTO
        [ "$device" = cpu ] || cuda=ON
        say "building in $build"
        cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DEIGENSCOPE_GUI=OFF -DEIGENSCOPE_CUDA=$cuda \
            > "$work/configure.log" 2>&1 || {
            tail -n 15 "$work/configure.log" >&2
            echo "gpu_session.sh: this machine lacks what a build needs; build elsewhere, packaging/bundle.sh, then --prebuilt" >&2
            return 1
        }
        cmake --build "$build" -j "$(nproc)" --target eigenscope-cli eigenscope-op-check > "$work/build.log" 2>&1 || {
            tail -n 30 "$work/build.log" >&2
            return 1
        }
        bin=$build/bin
    fi
}
cli() { "${launcher[@]}" "$bin/eigenscope-cli" "$@"; }
op_check() {
    local module=()
    [ ! -e "$bin/libeigenscope_cuda.so" ] || module=(--module "$bin/libeigenscope_cuda.so")
    "${checker[@]}" "${launcher[@]}" "$bin/eigenscope-op-check" "${module[@]}" "$@"
}
checker=()

# --- parts ----------------------------------------------------------------------------------------------------------

run_op_check() {
    op_check --device "$device" > "$work/op_check.log" 2>&1
    local status=$?
    tail -n 20 "$work/op_check.log"
    printf '{"log": %s}' "$(quote "$(tail -n 40 "$work/op_check.log")")" > "$work/op_check.json"
    case $status in
        0) result op_check passed '' "$work/op_check.json" ;;
        77) result op_check skipped "$(tail_of "$work/op_check.log")" ;;
        *) result op_check failed "$(tail_of "$work/op_check.log")" "$work/op_check.json" ;;
    esac
}

run_op_bench() {
    local options=()
    [ "$quick" = 0 ] || options=(--filter 'attention/32:8 heads, 1 query')
    op_check --device "$device" --bench --json "$work/op_bench.json" "${options[@]}" 2>&1 | tee "$work/op_bench.log"
    case ${PIPESTATUS[0]} in
        0) result op_bench passed '' "$work/op_bench.json" ;;
        77) result op_bench skipped "$(tail_of "$work/op_bench.log")" ;;
        *) result op_bench failed "$(tail_of "$work/op_bench.log")" ;;
    esac
}

run_torch() {
    local python=${PYTHON:-python3} options=()
    if ! command -v "$python" > /dev/null; then
        result torch skipped "no $python on this machine"
        return
    fi
    [ "$quick" = 0 ] || options=(--contexts 4096 --batch 1)
    "$python" "$here/torch_attention.py" --device "$device" --json "$work/torch.json" \
        "${options[@]}" > "$work/torch.log" 2>&1
    local status=$?
    cat "$work/torch.log"
    case $status in
        0) result torch passed '' "$work/torch.json" ;;
        77) result torch skipped "$(tail_of "$work/torch.log")" ;;
        *) result torch failed "$(tail_of "$work/torch.log")" ;;
    esac
}

run_models() {
    local models=(preset:llama-2-7b preset:llama-3-8b) options=(--context 1024,4096)
    if [ "$device" = cpu ]; then
        models=(preset:tinyllama-1.1b) options=(--context 128 --new-tokens 4)
        [ "$quick" = 0 ] || models=("$root/resources/demo/llama-stories")
    fi
    cli bench "${models[@]}" "${options[@]}" --batch 1 --device "$device" --skip-unfit --json \
        > "$work/models.json" 2> "$work/models.log"
    if [ $? = 0 ]; then
        result models passed '' "$work/models.json"
    else
        result models failed "$(tail_of "$work/models.log")"
    fi
}

run_sanitizer() {  # memcheck | racecheck
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
    if [ "$device" != cuda ]; then
        result "$1" skipped "compute-sanitizer looks at CUDA programs; this session runs on $device"
    elif [ -z "$tool" ]; then
        result "$1" skipped "compute-sanitizer is not on this machine (CUDA toolkit)"
    else
        checker=("$tool" --tool "$1" --error-exitcode 99)
        op_check --device cuda --threads 1 > "$work/$1.log" 2>&1
        local status=$?
        checker=()
        tail -n 5 "$work/$1.log"
        printf '{"log": %s}' "$(quote "$(tail -n 40 "$work/$1.log")")" > "$work/$1.json"
        if [ $status = 0 ]; then
            result "$1" passed '' "$work/$1.json"
        elif grep -q -i 'not supported\|unable to find injection\|requires elevated' "$work/$1.log"; then
            result "$1" skipped "compute-sanitizer does not work here: $(tail_of "$work/$1.log")"
        else
            result "$1" failed "$(tail_of "$work/$1.log")" "$work/$1.json"
        fi
    fi
}

run_parity() {
    local python=${PYTHON:-python3} host=cpu tokens=256 windows=8
    if ! command -v "$python" > /dev/null; then
        result parity skipped "no $python on this machine"
        return
    fi
    [ "$quick" = 0 ] || tokens=16 windows=1
    [ "$device" = cuda ] || host=reference
    cli perplexity --help 2>&1 | grep -q -- '--device.*\bcpu\b' || host=reference  # a build without oneDNN
    local start=("${launcher[@]}" "$bin/eigenscope-cli")
    env "$python" "$here/parity.py" --device "$device" --host "$host" --tokens "$tokens" --windows "$windows" \
        --demo "$root/resources/demo" --json "$work/parity.json" -- "${start[@]}" > "$work/parity.log" 2>&1
    local status=$?
    cat "$work/parity.log"
    case $status in
        0) result parity passed '' "$work/parity.json" ;;
        77) result parity skipped "$(tail_of "$work/parity.log")" ;;
        *) result parity failed "$(tail_of "$work/parity.log")" "$work/parity.json" ;;
    esac
}

# --- the session ----------------------------------------------------------------------------------------------------

prepare_programs || exit 1
op_check --device "$device" --filter 'no case is called this' > "$work/device.log" 2>&1
device_status=$?
device_line=$(head -n 1 "$work/device.log")
absent=''
if [ $device_status != 0 ]; then
    absent=${device_line#skipped: } device_line=''
fi

for part in "${parts[@]}"; do
    if [ -n "$only" ] && [[ $only != *,$part,* ]]; then
        result "$part" skipped 'not asked for (--only)'
        continue
    fi
    say "$part"
    if [ -n "$absent" ] && [ "$part" != torch ]; then
        result "$part" skipped "$absent"
        continue
    fi
    case $part in
        memcheck|racecheck) run_sanitizer "$part" ;;
        *) "run_$part" ;;
    esac
done

driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2> /dev/null | head -n 1)
commit=$(git -C "$root" rev-parse HEAD 2> /dev/null)
[ -z "$commit" ] || [ -z "$(git -C "$root" status --porcelain --untracked-files=no 2> /dev/null)" ] || commit="$commit, changed"
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
slug=$(printf '%s' "${device_line:-$device}" | sed 's/[^A-Za-z0-9]\{1,\}/-/g' | cut -c 1-40 | sed 's/-$//')
output=${output:-$here/results/${date%%T*}-$slug.json}
mkdir -p "$(dirname "$output")"
{
    printf '{"device": %s, "driver": %s, "date": %s, "commit": %s, "prebuilt": %s,\n "parts": {' \
        "$([ -n "$device_line" ] && quote "$device_line" || echo null)" "$([ -n "$driver" ] && quote "$driver" || echo null)" "$(quote "$date")" \
        "$([ -n "$commit" ] && quote "$commit" || echo null)" "$([ -n "$prebuilt" ] && echo true || echo false)"
    separator=''
    for part in "${parts[@]}"; do
        printf '%s\n  "%s": ' "$separator" "$part"
        cat "$work/$part.part"
        separator=,
    done
    printf '}}\n'
} > "$output.partial" && mv "$output.partial" "$output"

say 'summary'
for part in "${parts[@]}"; do
    printf '%-10s %s\n' "$part" "$(sed -n '1s/^{"status": "\([a-z]*\)", "reason": \(null\|".*"\), "result".*/\1 \2/p' "$work/$part.part" | sed 's/ null$//' | cut -c 1-160)"
done
if command -v python3 > /dev/null; then
    python3 "$here/session_bars.py" "$output" || true
fi
echo "results: $output"
exit $failed
