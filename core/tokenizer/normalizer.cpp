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

std::string Normalizer::apply(std::string_view text) const {
    std::string current(text);
    for (const UnicodeForm form : m_forms) {
        UErrorCode status = U_ZERO_ERROR;
        const icu::Normalizer2* normalizer = instanceOf(form, status);
        std::string result;
        result.reserve(current.size());
        icu::StringByteSink<std::string> sink(&result);
        if (U_SUCCESS(status))
            normalizer->normalizeUTF8(0,
                                      icu::StringPiece(current.data(), static_cast<int32_t>(current.size())),
                                      sink, nullptr, status);
        if (U_FAILURE(status))
            failUnsupported(std::string("Unicode normalisation failed: ") + u_errorName(status));
        current = std::move(result);
    }
    return current;
}

}  // namespace eigenscope
