#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks who includes whom: app -> ui -> core -> kernels/api <- kernels/{reference,cpu,cuda}; and the rules every source
# file keeps (licence line, length). Prints each violation; status 1 when there is one.
# Usage: layering.sh SOURCE_ROOT
set -euo pipefail
cd "$1"

violations=0
report() {  # title, lines
    if [ -n "$2" ]; then
        violations=1
        printf '%s\n' "$1:" "$2" | sed '2,$s/^/    /'
    fi
}

sources() {  # folders...: C++ and CUDA files below those that exist
    for folder in "$@"; do
        [ ! -d "$folder" ] || find "$folder" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \)
    done | sort
}

# Includes that match a pattern: forbid TITLE PATTERN FOLDER...; files below $except are left out.
except='^$'
forbid() {
    local title=$1 pattern=$2
    shift 2
    report "$title" "$(sources "$@" | { grep -vE "$except" || true; } | xargs -r grep -HnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($pattern)" || true)"
}

forbid 'Qt in core or kernels' 'Q[A-Z]|Qt' core kernels
forbid 'core or kernels use what is above them' '(ui|app)/' core kernels
forbid 'kernels use core' 'core/' kernels
forbid 'ui uses app' 'app/' ui
forbid 'the kernel interface uses a backend' 'kernels/(reference|cpu|cuda)/' kernels/api
forbid 'a concrete backend in core or ui' 'kernels/(reference|cpu|cuda)/' core ui
forbid 'a backend uses another' 'kernels/(cpu|cuda)/' kernels/reference
forbid 'a backend uses another' 'kernels/(reference|cuda)/' kernels/cpu
forbid 'a backend uses another' 'kernels/(reference|cpu)/' kernels/cuda
except='^tests/kernels/emulation/'  # has headers of those names itself
forbid 'a CUDA header outside kernels/cuda' '(cuda|cublas|cusolver|curand|cutlass|nvml|mma\.h)' \
    app ui core tests kernels/api kernels/reference kernels/cpu
except='^$'
forbid 'programs name a backend outside app/backends.cpp' 'kernels/(reference|cpu|cuda)/' app/cli app/window
widgets='Q(Application|.*Widget|MainWindow|Dialog|[A-Za-z]*Dialog|[A-Za-z]*Layout|[A-Za-z]*Button|Label|[A-Za-z]*Box|[A-Za-z]*Edit|Menu|MenuBar|ToolBar|ToolTip|Splitter|Style|StyleOption.*|StyledItemDelegate|TabBar|Slider|ProgressBar|ScrollArea|ScrollBar|Frame|HeaderView|TableView|TreeView|ListView|GraphicsView|StatusBar|Shortcut.*View)>'
forbid 'widgets in ui/model' "(QtWidgets/)?$widgets|QtWidgets|ui/(widgets|workspaces|window|export)/" ui/model
forbid 'widgets use workspaces or the window' 'ui/(workspaces|window)/' ui/widgets

plots=$(sources app ui core kernels tests | xargs -r grep -lE '#[[:space:]]*include[[:space:]]*[<"]qcustomplot\.h' || true)
if [ "$(printf '%s' "$plots" | grep -c . || true)" -gt 1 ]; then
    report 'qcustomplot.h is included in more than one place' "$plots"
fi

# Names of models, and of their tensors, in code (comments may say where an idea is from).
models='llama|mistral|qwen|gemma|falcon|\bmpt\b|\bopt\b|gpt-?[0-9]|[qkvo]_proj|(gate|up|down)_proj|_layernorm|layer_norm\b|Wqkv|embed_tokens|lm_head|model_type'
report 'a model word in kernels' "$(
    sources kernels | while read -r file; do
        sed 's://.*$::' "$file" | grep -niE "$models" | sed "s|^|$file:|" || true
    done
)"

licence() {  # expression FOLDER...
    local expression=$1
    shift
    for folder in "$@"; do
        [ ! -d "$folder" ] || find "$folder" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \
            -o -name '*.py' -o -name '*.sh' -o -name '*.cmake' -o -name CMakeLists.txt \)
    done | sort | while read -r file; do
        head -n 3 "$file" | grep -q "SPDX-License-Identifier: $expression" || echo "$file"
    done
}
report 'no "SPDX-License-Identifier: Apache-2.0" in the first lines' "$(licence 'Apache-2.0' kernels core tests resources cmake)"
report 'no "SPDX-License-Identifier: GPL-3.0-or-later" in the first lines' "$(licence 'GPL-3.0-or-later' ui app packaging)"

report 'longer than 600 lines' "$(sources app ui core kernels tests | xargs -r wc -l | awk '$2 != "total" && $1 > 600 {print $2 ": " $1}')"

exit "$violations"
