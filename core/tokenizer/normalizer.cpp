// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/normalizer.h"

#include "core/base/fail.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

namespace eigenscope {

namespace {

const icu::Normalizer2* instanceOf(UnicodeForm form, UErrorCode& status) {
    switch (form) {
        case UnicodeForm::Nfc:
            return icu::Normalizer2::getNFCInstance(status);
        case UnicodeForm::Nfd:
            return icu::Normalizer2::getNFDInstance(status);
        case UnicodeForm::Nfkc:
            return icu::Normalizer2::getNFKCInstance(status);
        case UnicodeForm::Nfkd:
            return icu::Normalizer2::getNFKDInstance(status);
    }
    return nullptr;
}

std::string inForm(UnicodeForm form, const std::string& text) {
    UErrorCode status = U_ZERO_ERROR;
    const icu::Normalizer2* normalizer = instanceOf(form, status);
    std::string result;
    result.reserve(text.size());
    icu::StringByteSink<std::string> sink(&result);
    if (U_SUCCESS(status))
        normalizer->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink,
                                  nullptr, status);
    if (U_FAILURE(status))
        failUnsupported(std::string("Unicode normalisation failed: ") + u_errorName(status));
    return result;
}

}  // namespace

std::optional<UnicodeForm> unicodeFormFromName(std::string_view name) {
    if (name == "NFC")
        return UnicodeForm::Nfc;
    if (name == "NFD")
        return UnicodeForm::Nfd;
    if (name == "NFKC")
        return UnicodeForm::Nfkc;
    if (name == "NFKD")
        return UnicodeForm::Nfkd;
    return std::nullopt;
}

std::string replaceAll(std::string_view text, std::string_view from, std::string_view to) {
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0;;) {
        const std::size_t next = from.empty() ? std::string_view::npos : text.find(from, at);
        result += text.substr(at, next == std::string_view::npos ? next : next - at);
        if (next == std::string_view::npos)
            return result;
        result += to;
        at = next + from.size();
    }
}

std::string Normalizer::apply(std::string_view text) const {
    std::string current(text);
    for (const NormalizerStep& step : m_steps) {
        if (const auto* form = std::get_if<UnicodeForm>(&step))
            current = inForm(*form, current);
        else if (const auto* replace = std::get_if<ReplaceText>(&step))
            current = replaceAll(current, replace->from, replace->to);
        else if (!current.empty())
            current.insert(0, std::get<PrependText>(step).text);
    }
    return current;
}

}  // namespace eigenscope
