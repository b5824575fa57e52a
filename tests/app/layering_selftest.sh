#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows that layering.sh finds each kind of violation: one file that breaks one rule, in a tree that is otherwise empty.
# Usage: layering_selftest.sh (beside layering.sh)
set -euo pipefail
check=$(cd "$(dirname "$0")" && pwd)/layering.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

apache='// SPDX-License-Identifier: Apache-2.0'
gpl='// SPDX-License-Identifier: GPL-3.0-or-later'

try() {  # expected status, file, licence, content
    rm -rf "$folder/tree"
    mkdir -p "$folder/tree/$(dirname "$2")"
    printf '%s\n%b\n' "$3" "$4" >"$folder/tree/$2"
    local status=0
    bash "$check" "$folder/tree" >"$folder/out" || status=$?
    if [ "$status" -ne "$1" ]; then
        echo "expected status $1, found $status: $2: $4"
        cat "$folder/out"
        failures=1
    fi
}

try 0 core/a/a.cpp "$apache" '#include "core/b/b.h"\n#include "kernels/api/ops.h"'
try 0 app/cli/a.cpp "$gpl" '#include "core/b/b.h"'
try 0 kernels/cpu/a.cpp "$apache" '// after the Llama implementation\n#include "kernels/api/ops.h"\nint options;'
try 0 ui/model/a.cpp "$gpl" '#include <QStringView>\n#include <QUndoStack>\n#include <QAbstractTableModel>'
try 1 core/a/a.cpp "$apache" '#include <QString>'
try 1 core/a/a.cpp "$apache" '#include <QtCore/QString>'
try 1 kernels/api/a.h "$apache" '#  include <QFile>'
try 1 core/a/a.cpp "$apache" '#include "ui/model/units.h"'
try 1 kernels/cpu/a.cpp "$apache" '#include "core/base/fail.h"'
try 1 ui/window/a.cpp "$gpl" '#include "app/backends.h"'
try 1 core/a/a.cpp "$apache" '#include "kernels/cpu/cpu_backend.h"'
try 1 ui/model/a.cpp "$gpl" '#include "kernels/reference/reference_backend.h"'
try 1 kernels/api/a.cpp "$apache" '#include "kernels/cpu/cpu_backend.h"'
try 1 kernels/cuda/a.cu "$apache" '#include "kernels/cpu/cpu_backend.h"'
try 1 app/cli/a.cpp "$gpl" '#include "kernels/cpu/cpu_backend.h"'
try 1 kernels/cpu/a.cpp "$apache" '#include <cuda_runtime.h>'
try 1 ui/model/a.h "$gpl" '#include <QWidget>'
try 1 ui/model/a.h "$gpl" '#include <QtWidgets/QLabel>'
try 1 ui/model/a.h "$gpl" '#include "ui/widgets/plot.h"'
try 1 ui/widgets/a.h "$gpl" '#include "ui/workspaces/start/start_page.h"'
try 1 kernels/cpu/a.cpp "$apache" 'const char* name = "q_proj";'
try 1 kernels/cpu/a.cpp "$apache" 'bool isLlama;'
try 1 core/a/a.cpp "$gpl" 'int a;'
try 1 ui/a/a.cpp "$apache" 'int a;'
try 1 core/a/a.cpp "// no licence" 'int a;'
try 1 core/a/a.cpp "$apache" "$(printf '\\n%.0s' $(seq 600))"

mkdir -p "$folder/two/ui"
for name in a b; do
    printf '%s\n#include <qcustomplot.h>\n' "$gpl" >"$folder/two/ui/$name.cpp"
done
if bash "$check" "$folder/two" >"$folder/out"; then
    echo "two files include qcustomplot.h and nothing was said"
    failures=1
fi
exit "$failures"
