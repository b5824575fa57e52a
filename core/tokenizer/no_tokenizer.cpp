// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/no_tokenizer.h"

#include "core/base/fail.h"

namespace eigenscope {

void NoTokenizer::refuse() const { failUnsupported(m_model + ": " + m_reason); }

std::vector<TokenId> NoTokenizer::encode(std::string_view, bool, const std::stop_token&) const { refuse(); }

std::string NoTokenizer::decode(std::span<const TokenId>, bool) const { refuse(); }

}  // namespace eigenscope
