#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that wants a GPU, in one command:
#   tests/benchmarks/gpu_session.sh [--device cuda|cpu|cuda-emulated] [--prebuilt DIR] [--output FILE] [--build-dir DIR]
#                                   [--quick] [--only PART,PART,...] [--minutes N] [--state DIR] [--commit TEXT]
# Builds what it needs without Qt (--prebuilt: uses a folder that packaging/bundle.sh made elsewhere), then runs its parts:
#   op_check     every op case against the reference backend, a process for each op
#   op_bench     the op benchmark
#   llama_2_7b, llama_3_8b   bench of these presets, random weights, batch 1
#   calibration  calibration of 128 x 2048 tokens on the shape of llama-2-7b, beside its matrix products
#   torch        PyTorch's attention on the same shapes
#   parity       the demo models here and on the host: logits, greedy tokens, perplexity
#   memcheck, racecheck   compute-sanitizer over the op cases, a process for each op
# and puts all results in one JSON file, results/<date>-<device>.json beside this script unless --output names another: the
# one to commit when it was measured on a GPU. It is written anew after each part. A part that cannot run says why, there
# and on the terminal, and the others go on; one that takes too long is stopped and leaves what it has. The session as a
# whole takes at most --minutes (28), builds not counted. Where a command may not run that long: --state DIR keeps the parts'
# results, so that several calls with --only make one file together. Exit status: 0 unless a part failed or was stopped.
# --device cpu, and cuda-emulated for the op cases, try the session itself on a machine without a GPU, --quick with less
# work. --commit, or the file COMMIT in a bundle, says what was built where there is no repository.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
device=cuda prebuilt='' output='' build='' quick=0 only='' minutes=28 state='' commit=''
parts=(op_check op_bench llama_2_7b llama_3_8b calibration torch parity memcheck racecheck)
ops=(convert add activate embed norm rope kvAppend gemm gram spreadGram logitWeights eigh nll argmax
    attention)

usage() { sed -n '3,27s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=${2:?}; shift ;;
        --prebuilt) prebuilt=$(cd "${2:?}" && pwd) || exit 2; shift ;;
        --output) output=${2:?}; shift ;;
        --build-dir) build=${2:?}; shift ;;
        --only) only=${2:?}; shift ;;
        --minutes) minutes=${2:?}; shift ;;
        --state) state=${2:?}; shift ;;
        --commit) commit=${2:?}; shift ;;
        --quick) quick=1 ;;
        --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
case $device in
    cuda|cpu|cuda-emulated) ;;
    *) echo "gpu_session.sh: --device is cuda, cpu or cuda-emulated, found $device" >&2; exit 2 ;;
esac
case $minutes in ''|*[!0-9]*) echo "gpu_session.sh: --minutes is a number, found $minutes" >&2; exit 2 ;; esac
for part in ${only//,/ }; do
    [[ " ${parts[*]} " == *" $part "* ]] || { echo "gpu_session.sh: no part is called $part (${parts[*]})" >&2; exit 2; }
done

if [ -n "$state" ]; then
    mkdir -p "$state" && work=$(cd "$state" && pwd) || exit 2
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
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
    case $2 in failed|stopped) failed=1 ;; esac
}
# finished PART STATUS SECONDS LOG [JSON FILE]: the result that follows from a program's exit status.
finished() {
    case $2 in
        0) result "$1" passed '' "${5:-}" ;;
        77) result "$1" skipped "$(tail_of "$4")" ;;
        124|137) result "$1" stopped "after $3 s: $(tail_of "$4")" "${5:-}" ;;
        *) result "$1" failed "$(tail_of "$4")" "${5:-}" ;;
    esac
}
# Seconds that a part which may take $1 has: fewer near the session's end, but one.
allowed() {
    local left=$((deadline - SECONDS))
    [ $left -lt "$1" ] || left=$1
    echo $((left > 1 ? left : 1))
}
# The last lines of a log, for reasons.
tail_of() { tail -n 3 "$1" | tr '\n' ' ' | cut -c 1-400; }

# --- programs -------------------------------------------------------------------------------------------------------

# Folders that may have cuBLAS where a bundle was made without: the toolkit's, and those of Python's packages.
cuda_libraries() {
    printf '/usr/local/cuda/lib64:/usr/local/cuda/targets/x86_64-linux/lib'
    "${PYTHON:-python3}" -c 'import glob, sys
for path in sys.path:
    for folder in sorted(glob.glob(path + "/nvidia/*/lib")):
        print(":" + folder, end="")' 2> /dev/null
}

launcher=()
prepare_programs() {
    if [ -n "$prebuilt" ]; then
        bin=$prebuilt/bin
        # For these programs alone: others, such as nvidia-smi, must not meet the bundle's libraries.
        local libraries
        libraries=$prebuilt/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}:$(cuda_libraries)
        launcher=(env "LD_LIBRARY_PATH=$libraries")
        if ! "${launcher[@]}" "$bin/eigenscope-cli" --version > "$work/version" 2>&1; then
            # An older C library than the one the programs were built with: start them with that one.
            local loader
            loader=$(ls "$bin"/ld-linux* | head -n 1)
            launcher=("$loader" --library-path "$prebuilt/glibc:$libraries:/usr/lib/x86_64-linux-gnu:/usr/lib64")
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
        cmake --build "$build" -j "$(nproc)" --target eigenscope-cli eigenscope-op-check \
            eigenscope-calibration-bench > "$work/build.log" 2>&1 || {
            tail -n 30 "$work/build.log" >&2
            return 1
        }
        bin=$build/bin
    fi
}
# What follows stops a program after $limit seconds.
limit=60
stopping() { timeout -k 10 "$limit" "$@"; }
cli() { stopping "${launcher[@]}" "$bin/eigenscope-cli" "$@"; }
op_check() {
    local module=()
    [ ! -e "$bin/libeigenscope_cuda.so" ] || module=(--module "$bin/libeigenscope_cuda.so")
    stopping "${checker[@]}" "${launcher[@]}" "$bin/eigenscope-op-check" "${module[@]}" "$@"
}
checker=()

# --- parts ----------------------------------------------------------------------------------------------------------

# each_op PART SECONDS: every op's cases in a process of its own, so that one that takes the device along leaves the others.
# The log of those that failed goes to PART.log; the worst exit status is returned, 124 where time did not suffice.
each_op() {
    local part=$1 end=$((SECONDS + $2)) worst=0 status separator='' op
    : > "$work/$part.log"
    printf '{"ops": {' > "$work/$part.json"
    for op in "${ops[@]}"; do
        limit=$((end - SECONDS))
        if [ $limit -le 0 ]; then
            status=124
            echo "$op: not begun" >> "$work/$part.log"
        else
            op_check --device "$device" --threads 1 --verbose --filter "$op/" > "$work/$part.$op.log" 2>&1
            status=$?
        fi
        [ $status -lt 124 ] || [ $status -gt 137 ] || [ $worst != 0 ] || worst=$status
        case $status in 0|124|137) ;; *) worst=$status ;; esac
        [ $status = 0 ] || [ ! -e "$work/$part.$op.log" ] || grep -v '^pass ' "$work/$part.$op.log" >> "$work/$part.log"
        echo "$op: exit $status, $(tail -n 1 "$work/$part.$op.log" 2> /dev/null | cut -c 1-120)," \
            "$(grep -c '^pass ' "$work/$part.$op.log" 2> /dev/null) cases done" | tee -a "$work/$part.log"
        printf '%s\n "%s": {"status": %s, "log": %s}' "$separator" "$op" "$status" \
            "$(quote "$(grep -v '^pass ' "$work/$part.$op.log" 2> /dev/null | tail -n 12 | cut -c 1-400)")" >> "$work/$part.json"
        separator=,
    done
    printf '}}' >> "$work/$part.json"
    return $worst
}

run_op_check() {
    local limits
    limits=$(allowed 150)
    each_op op_check "$limits"
    finished op_check $? "$limits" "$work/op_check.log" "$work/op_check.json"
}

run_op_bench() {
    local options=()
    [ "$quick" = 0 ] || options=(--filter 'attention/32:8 heads, 1 query')
    limit=$(allowed 420)
    rm -f "$work/op_bench.json"
    op_check --device "$device" --bench --json "$work/op_bench.json" "${options[@]}" 2>&1 | tee "$work/op_bench.log"
    finished op_bench "${PIPESTATUS[0]}" "$limit" "$work/op_bench.log" "$work/op_bench.json"
}

run_torch() {
    local python=${PYTHON:-python3} options=()
    if ! command -v "$python" > /dev/null; then
        result torch skipped "no $python on this machine"
        return
    fi
    [ "$quick" = 0 ] || options=(--contexts 4096 --batch 1)
    limit=$(allowed 150)
    stopping "$python" "$here/torch_attention.py" --device "$device" --json "$work/torch.json" \
        "${options[@]}" > "$work/torch.log" 2>&1
    local status=$?
    cat "$work/torch.log"
    finished torch $status "$limit" "$work/torch.log" "$work/torch.json"
}

run_model() {  # PART PRESET
    local model=preset:$2 options=(--context 1024,4096)
    if [ "$device" != cuda ]; then
        model=preset:tinyllama-1.1b options=(--context 128 --new-tokens 4)
        [ "$quick" = 0 ] || model=$root/resources/demo/llama-stories
    fi
    limit=$(allowed 180)
    cli bench "$model" "${options[@]}" --batch 1 --device "$device" --skip-unfit --json > "$work/$1.json" 2> "$work/$1.log"
    finished "$1" $? "$limit" "$work/$1.log" "$work/$1.json"
    tail -n 30 "$work/$1.json"
}

# With the statistics of method `eigen` alone, and with those that `calibrate` takes by default.
run_calibration() {
    local model=preset:llama-2-7b options=() queries status separator=''
    if [ "$device" != cuda ] || [ "$quick" = 1 ]; then
        model=$root/resources/demo/llama-stories options=(--samples 2 --length 64)
    fi
    printf '{"runs": [' > "$work/calibration.json"
    for queries in 0 32; do
        limit=$(allowed 90)
        stopping "${launcher[@]}" "$bin/eigenscope-calibration-bench" "$model" --device "$device" "${options[@]}" \
            --attention-queries $queries > "$work/calibration.run" 2> "$work/calibration.log"
        status=$?
        cat "$work/calibration.run"
        [ $status = 0 ] || break
        printf '%s' "$separator" | cat - "$work/calibration.run" >> "$work/calibration.json"
        separator=,
    done
    printf ']}' >> "$work/calibration.json"
    finished calibration $status "$limit" "$work/calibration.log" "$work/calibration.json"
}

run_sanitizer() {  # memcheck | racecheck
    local tool limits
    limits=$(allowed 210)
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
    if [ "$device" != cuda ]; then
        result "$1" skipped "compute-sanitizer looks at CUDA programs; this session runs on $device"
    elif [ -z "$tool" ]; then
        result "$1" skipped "compute-sanitizer is not on this machine (CUDA toolkit)"
    else
        checker=("$tool" --tool "$1" --error-exitcode 99)
        each_op "$1" "$limits"
        local status=$?
        checker=()
        if [ $status != 0 ] &&
            grep -q -i 'not supported\|unable to find injection\|requires elevated' "$work/$1.log"; then
            result "$1" skipped "compute-sanitizer does not work here: $(tail_of "$work/$1.log")"
        else
            finished "$1" $status "$limits" "$work/$1.log" "$work/$1.json"
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
    limit=20
    cli perplexity --help 2>&1 | grep -q -- '--device.*\bcpu\b' || host=reference  # a build without oneDNN
    local start=("${launcher[@]}" "$bin/eigenscope-cli")
    limit=$(allowed 240)
    stopping "$python" "$here/parity.py" --device "$device" --host "$host" --tokens "$tokens" --windows "$windows" \
        --demo "$root/resources/demo" --json "$work/parity.json" -- "${start[@]}" > "$work/parity.log" 2>&1
    local status=$?
    cat "$work/parity.log"
    finished parity $status "$limit" "$work/parity.log" "$work/parity.json"
}

# --- the session ----------------------------------------------------------------------------------------------------

prepare_programs || exit 1
deadline=$((SECONDS + minutes * 60))
op_check --device "$device" --filter 'no case is called this' > "$work/device.log" 2>&1
device_status=$?
device_line=$(head -n 1 "$work/device.log")
absent=''
if [ $device_status != 0 ]; then
    absent=${device_line#skipped: } device_line=''
fi
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2> /dev/null | head -n 1)
if [ -z "$commit" ] && [ -n "$prebuilt" ] && [ -s "$prebuilt/COMMIT" ]; then
    commit=$(cat "$prebuilt/COMMIT")
elif [ -z "$commit" ]; then
    commit=$(git -C "$root" rev-parse HEAD 2> /dev/null)
    [ -z "$commit" ] || [ -z "$(git -C "$root" status --porcelain --untracked-files=no 2> /dev/null)" ] || commit="$commit, changed"
fi
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
slug=$(printf '%s' "${device_line:-$device}" | sed 's/[^A-Za-z0-9]\{1,\}/-/g' | cut -c 1-40 | sed 's/-$//')
output=${output:-$here/results/${date%%T*}-$slug.json}
mkdir -p "$(dirname "$output")"

# What there is so far; whole or not at all.
write_results() {
    local separator='' part
    {
        printf '{"device": %s, "driver": %s, "date": %s, "commit": %s, "prebuilt": %s,\n "parts": {' \
            "$([ -n "$device_line" ] && quote "$device_line" || echo null)" \
            "$([ -n "$driver" ] && quote "$driver" || echo null)" "$(quote "$date")" \
            "$([ -n "$commit" ] && quote "$commit" || echo null)" "$([ -n "$prebuilt" ] && echo true || echo false)"
        for part in "${parts[@]}"; do
            [ -e "$work/$part.part" ] || continue
            printf '%s\n  "%s": ' "$separator" "$part"
            cat "$work/$part.part"
            separator=,
        done
        printf '}}\n'
    } > "$output.partial" && mv "$output.partial" "$output"
}

for part in "${parts[@]}"; do
    if [ -n "$only" ] && [[ ,$only, != *,$part,* ]]; then
        [ -e "$work/$part.part" ] || result "$part" skipped 'not asked for (--only)'
        continue
    fi
    say "$part"
    if [ -n "$absent" ] && [ "$part" != torch ]; then
        result "$part" skipped "$absent"
    elif [ "$device" = cuda-emulated ] && [[ $part != op_* ]]; then
        result "$part" skipped 'the emulated device runs op cases alone'
    elif [ $SECONDS -ge $deadline ]; then
        result "$part" stopped "not begun: the session's $minutes minutes are over"
    else
        case $part in
            memcheck|racecheck) run_sanitizer "$part" ;;
            llama_*) run_model "$part" "${part//_/-}" ;;
            *) "run_$part" ;;
        esac
    fi
    write_results
done
write_results

say 'summary'
for part in "${parts[@]}"; do
    printf '%-12s %s\n' "$part" "$(sed -n '1s/^{"status": "\([a-z]*\)", "reason": \(null\|".*"\), "result".*/\1 \2/p' "$work/$part.part" | sed 's/ null$//' | cut -c 1-160)"
done
if command -v python3 > /dev/null; then
    python3 "$here/session_bars.py" "$output" || true
fi
echo "results: $output"
[ "$device" != cuda ] || [ -z "$device_line" ] || echo "commit this file (tests/benchmarks/results/)"
exit $failed
