// SPDX-License-Identifier: Apache-2.0
// The ops of the CPU backend, one function each; parameters have been checked (kernels/api/checks.h). Each
// empties the stream's scratch arena when it starts and returns when the result is in memory.
#pragma once

#include "kernels/api/ops.h"
#include "kernels/cpu/cpu_stream.h"

namespace eigenscope::cpu {

class MatmulCache;

void gemm(CpuStream& stream, MatmulCache& matmuls, const GemmParams& p);
void embed(CpuStream& stream, const EmbedParams& p);
void norm(CpuStream& stream, const NormParams& p);
void activate(CpuStream& stream, const ActivateParams& p);
void add(CpuStream& stream, const AddParams& p);
void rope(CpuStream& stream, const RopeParams& p);
void kvAppend(CpuStream& stream, const KvAppendParams& p);
void attention(CpuStream& stream, const AttentionParams& p);
void gram(CpuStream& stream, const GramParams& p);
void spreadGram(CpuStream& stream, const SpreadGramParams& p);
void logitWeights(CpuStream& stream, const LogitWeightsParams& p);
void eigh(CpuStream& stream, const EighParams& p);
void nll(CpuStream& stream, const NllParams& p);
void argmax(CpuStream& stream, const ArgmaxParams& p);
void convert(CpuStream& stream, const ConvertParams& p);

}  // namespace eigenscope::cpu
