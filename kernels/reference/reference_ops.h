// SPDX-License-Identifier: Apache-2.0
// The reference ops as plain functions over host memory. They trust their structs: ReferenceBackend has
// checked them.
#pragma once

#include "kernels/api/ops.h"

namespace eigenscope::reference {

void gemm(const GemmParams& p);
void embed(const EmbedParams& p);
void norm(const NormParams& p);
void activate(const ActivateParams& p);
void add(const AddParams& p);
void rope(const RopeParams& p);
void kvAppend(const KvAppendParams& p);
void attention(const AttentionParams& p);
void gram(const GramParams& p);
void spreadGram(const SpreadGramParams& p);
void logitWeights(const LogitWeightsParams& p);
void eigh(const EighParams& p);
void nll(const NllParams& p);
void argmax(const ArgmaxParams& p);
void convert(const ConvertParams& p);

}  // namespace eigenscope::reference
