// SPDX-License-Identifier: Apache-2.0
// Fidelity measures and token-level diffs as comma-separated values. Pure functions.
#pragma once

#include "core/evaluation/fidelity.h"
#include "core/evaluation/text_diff.h"

#include <string>

namespace eigenscope {

// layer,head,measure,value,standard_error: a line a measure; head is empty for those of the layer, the error
// where a single window leaves it unknown.
std::string fidelityCsv(const FidelityResult& result);

// token,id,piece,kl,top1_changed,nll_first,nll_second,first_top,first_probability,second_top,
// second_probability,explaining_layer,kl_removed: a line a predicted token; `token` is its place in the text,
// from 1. The last two are empty where no layer explains it.
std::string textDiffCsv(const TextDiff& diff, const Tokenizer& tokenizer);

}  // namespace eigenscope
