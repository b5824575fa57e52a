// SPDX-License-Identifier: Apache-2.0
// What is done to text before it is cut into words: Unicode normalisation, texts put in front or replaced.
// Immutable; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace eigenscope {

enum class UnicodeForm { Nfc, Nfd, Nfkc, Nfkd };
std::optional<UnicodeForm> unicodeFormFromName(std::string_view name);  // "NFC"

struct PrependText {
    std::string text;  // put before every text that is not empty
};
struct ReplaceText {
    std::string from, to;  // everywhere
};
using NormalizerStep = std::variant<UnicodeForm, PrependText, ReplaceText>;

class Normalizer {
public:
    Normalizer() = default;  // leaves text as it is
    explicit Normalizer(std::vector<NormalizerStep> steps) : m_steps(std::move(steps)) {}

    std::string apply(std::string_view text) const;  // the steps one after the other; valid UTF-8

private:
    std::vector<NormalizerStep> m_steps;
};

std::string replaceAll(std::string_view text, std::string_view from, std::string_view to);

}  // namespace eigenscope
