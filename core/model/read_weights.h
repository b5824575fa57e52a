// SPDX-License-Identifier: Apache-2.0
// The parts of a model from a checkpoint, through a WeightReader: the same whether they are read at once, one
// at a time, or only described. One thread a reader.
#pragma once

#include "core/model/model.h"
#include "core/model/weight_reader.h"

#include <string>

namespace eigenscope {

// Where the checkpoint's tensor names begin; the family's usual prefix when none fits, so that the error
// which follows names the usual tensor.
std::string findPrefix(const WeightReader& reader, const ModelConfig& config);

// `config.tensor_prefix` is set.
EmbeddingWeights readEmbedding(WeightReader& reader, const ModelConfig& config);
LayerWeights readLayer(WeightReader& reader, const ModelConfig& config, int layer);
// Of tied embeddings the output shares the tensor of `embedding`, or reads it when that is null.
HeadWeights readHead(WeightReader& reader, const ModelConfig& config, const EmbeddingWeights* embedding);

}  // namespace eigenscope
