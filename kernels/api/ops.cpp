// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/ops.h"

namespace eigenscope {

const char* nameOf(Op op) {
    switch (op) {
        case Op::Gemm:
            return "gemm";
        case Op::Embed:
            return "embed";
        case Op::Norm:
            return "norm";
        case Op::Activate:
            return "activate";
        case Op::Add:
            return "add";
        case Op::Rope:
            return "rope";
        case Op::KvAppend:
            return "kvAppend";
        case Op::Attention:
            return "attention";
        case Op::Gram:
            return "gram";
        case Op::SpreadGram:
            return "spreadGram";
        case Op::LogitWeights:
            return "logitWeights";
        case Op::Eigh:
            return "eigh";
        case Op::Nll:
            return "nll";
        case Op::Argmax:
            return "argmax";
        case Op::Convert:
            return "convert";
    }
    return "unknown op";
}

}  // namespace eigenscope
