// SPDX-License-Identifier: Apache-2.0
// The few settings of a SentencePiece model file that decide how text is cut before the library sees it. The
// file is a Protocol Buffers message (sentencepiece_model.proto: pieces = 1, trainer_spec = 2,
// normalizer_spec = 3, self_test_data = 4). Pure; any thread.
#pragma once

#include "kernels/api/ops.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

struct SentencePieceModelFile {
    std::string
        bytes;  // the message without self_test_data, whose answers hold for the file's own prefix rule only
    bool adds_prefix = true;               // normalizer_spec.add_dummy_prefix
    bool removes_extra_whitespace = true;  // normalizer_spec.remove_extra_whitespaces
    std::string algorithm = "unigram";     // trainer_spec.model_type: "unigram", "BPE", "word", "character"
    std::vector<TokenId> user_defined;     // pieces of type USER_DEFINED
    // Whether lines are encoded each by itself, whatever is before and behind them: nothing is normalised, no
    // piece reaches across a line's end, and characters without a piece become bytes, each by itself.
    bool lines_apart = false;

    // The message with another add_dummy_prefix: fields of a message that follow later override earlier ones.
    std::string withPrefix(bool add) const;
};

SentencePieceModelFile readSentencePieceModelFile(const std::filesystem::path& file);

}  // namespace eigenscope
