// SPDX-License-Identifier: GPL-3.0-or-later
// The backends that this program was built with. The only place, with its source file, that names them.
#pragma once

#include "kernels/api/registry.h"

namespace eigenscope {

// Fills a registry: "cuda" (a module beside the program, loaded on demand), "cpu" and "reference", best first
// for `auto`. A device that cannot run attention is no use for a model: it counts as missing, with its
// reason.
BackendRegistry availableBackends();

}  // namespace eigenscope
