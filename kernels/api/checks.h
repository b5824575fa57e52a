// SPDX-License-Identifier: Apache-2.0
// What every backend demands of an op's struct before it runs: dimensions that are not negative and fit
// together, and pointers where there is something to read or write. Throws Error InvalidInput naming the op,
// the field and what was expected; never looks at the memory itself. Pure functions, safe from any thread.
#pragma once

#include "kernels/api/composed_ops.h"
#include "kernels/api/ops.h"

namespace eigenscope {

void check(const GemmParams& p);
void check(const EmbedParams& p);
void check(const NormParams& p);
void check(const ActivateParams& p);
void check(const AddParams& p);
void check(const RopeParams& p);
void check(const KvAppendParams& p);
void check(const AttentionParams& p);
void check(const GramParams& p);
void check(const SpreadGramParams& p);
void check(const LogitWeightsParams& p);
void check(const EighParams& p);
void check(const NllParams& p);
void check(const ArgmaxParams& p);
void check(const ConvertParams& p);
// How the ops of a run fit together; each op's own struct is checked as well.
void check(const ProjectParams& p);
void check(const MlpParams& p);
void check(const RotateAndAppendParams& p);

}  // namespace eigenscope
