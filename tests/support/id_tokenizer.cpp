// SPDX-License-Identifier: Apache-2.0
#include "tests/support/id_tokenizer.h"

#include <sstream>

namespace eigenscope::test {

std::vector<TokenId> IdTokenizer::encode(std::string_view text, bool, const std::stop_token&) const {
    std::istringstream stream{std::string(text)};
    std::vector<TokenId> ids;
    for (TokenId id; stream >> id;) {
        ids.push_back(id);
    }
    return ids;
}

std::string IdTokenizer::decode(std::span<const TokenId> ids, bool) const {
    std::string text;
    for (TokenId id : ids) {
        text += " " + std::to_string(id);
    }
    return text;
}

}  // namespace eigenscope::test
