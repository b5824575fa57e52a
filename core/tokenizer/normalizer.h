// SPDX-License-Identifier: Apache-2.0
// Unicode normalisation before tokenization. Immutable; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

enum class UnicodeForm { Nfc, Nfd, Nfkc, Nfkd };
std::optional<UnicodeForm> unicodeFormFromName(std::string_view name);  // "NFC"

class Normalizer {
public:
    Normalizer() = default;  // leaves text as it is
    explicit Normalizer(std::vector<UnicodeForm> forms) : m_forms(std::move(forms)) {}

    std::string apply(std::string_view text) const;  // the forms one after the other; valid UTF-8

private:
    std::vector<UnicodeForm> m_forms;
};

}  // namespace eigenscope
