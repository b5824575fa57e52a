// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/no_tokenizer.h"

#include "core/base/fail.h"

namespace eigenscope {

void NoTokenizer::refuse() const {
    failUnsupported(m_model +
                    ": this model has no tokenizer, so nothing can be done with text; open a checkpoint "
                    "directory that has one");
}

std::vector<TokenId> NoTokenizer::encode(std::string_view, bool) const { refuse(); }

std::string NoTokenizer::decode(std::span<const TokenId>, bool) const { refuse(); }

}  // namespace eigenscope
