// SPDX-License-Identifier: Apache-2.0
// Wire format: https://protobuf.dev/programming-guides/encoding/ ("Message Structure").
#include "core/tokenizer/sentencepiece_model_file.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"

#include <cstdint>
#include <optional>

namespace eigenscope {

namespace {

struct Field {
    std::uint64_t number = 0;
    std::uint64_t value = 0;    // of a varint field
    std::string_view contents;  // of a length-delimited field
    std::string_view whole;     // with its tag
};

class MessageReader {
public:
    explicit MessageReader(std::string_view bytes) : m_rest(bytes) {}

    bool atEnd() const { return m_rest.empty(); }
    // Empty when the bytes are no message.
    std::optional<Field> next() {
        const std::string_view start = m_rest;
        const auto tag = varint();
        if (!tag)
            return std::nullopt;
        Field field;
        field.number = *tag >> 3;
        std::optional<std::uint64_t> size;
        switch (*tag & 7) {
            case 0: {
                const auto value = varint();
                if (!value)
                    return std::nullopt;
                field.value = *value;
                size = 0;
                break;
            }
            case 1:
                size = 8;
                break;
            case 2:
                size = varint();
                break;
            case 5:
                size = 4;
                break;
            default:
                return std::nullopt;
        }
        if (!size || *size > m_rest.size())
            return std::nullopt;
        field.contents = m_rest.substr(0, *size);
        m_rest.remove_prefix(*size);
        field.whole = start.substr(0, start.size() - m_rest.size());
        return field;
    }

private:
    std::optional<std::uint64_t> varint() {
        std::uint64_t value = 0;
        for (int shift = 0; shift < 64 && !m_rest.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(m_rest.front());
            m_rest.remove_prefix(1);
            value |= std::uint64_t{byte & 0x7fu} << shift;
            if (byte < 0x80)
                return value;
        }
        return std::nullopt;
    }

    std::string_view m_rest;
};

constexpr std::uint64_t kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3, kSelfTestData = 4;
constexpr std::uint64_t kPieceText = 1, kPieceType = 3, kUserDefined = 4;         // of pieces
constexpr std::uint64_t kModelType = 3, kSpaceAsSuffix = 24, kByteFallback = 35;  // of trainer_spec
constexpr std::uint64_t kCharacterMap = 2, kAddDummyPrefix = 3, kRemoveExtraWhitespaces = 4,
                        kEscapeWhitespaces = 5;  // of normalizer_spec

template <typename Use>
void forEachField(const std::filesystem::path& file, std::string_view message, Use use) {
    MessageReader reader(message);
    while (!reader.atEnd()) {
        const auto field = reader.next();
        if (!field)
            failInput(file, "is not a SentencePiece model");
        use(*field);
    }
}

}  // namespace

std::string SentencePieceModelFile::withPrefix(bool add) const {
    // normalizer_spec (3, length-delimited) of 2 bytes: add_dummy_prefix (3, varint).
    return bytes + std::string({'\x1a', '\x02', '\x18', add ? '\x01' : '\x00'});
}

SentencePieceModelFile readSentencePieceModelFile(const std::filesystem::path& file) {
    const std::string text = readTextFile(file);
    if (text.empty())
        failInput(file, "is empty, expected a SentencePiece model");
    SentencePieceModelFile model;
    TokenId next_piece = 0;
    bool maps_characters = false, escapes = true, suffix = false, byte_fallback = false, long_lines = false;
    forEachField(file, text, [&](const Field& field) {
        if (field.number != kSelfTestData)
            model.bytes += field.whole;
        if (field.number == kNormalizerSpec) {
            forEachField(file, field.contents, [&](const Field& inner) {
                if (inner.number == kAddDummyPrefix)
                    model.adds_prefix = inner.value != 0;
                else if (inner.number == kRemoveExtraWhitespaces)
                    model.removes_extra_whitespace = inner.value != 0;
                else if (inner.number == kCharacterMap)
                    maps_characters = !inner.contents.empty();
                else if (inner.number == kEscapeWhitespaces)
                    escapes = inner.value != 0;
            });
        } else if (field.number == kPieces) {
            forEachField(file, field.contents, [&](const Field& inner) {
                if (inner.number == kPieceType && inner.value == kUserDefined)
                    model.user_defined.push_back(next_piece);
                if (inner.number == kPieceText && inner.contents.size() > 1 &&
                    inner.contents.find('\n') != std::string_view::npos)
                    long_lines = true;
            });
            ++next_piece;
        } else if (field.number == kTrainerSpec) {
            forEachField(file, field.contents, [&](const Field& inner) {
                constexpr const char* kNames[] = {"unigram", "BPE", "word", "character"};
                if (inner.number == kModelType && inner.value >= 1 && inner.value <= 4)
                    model.algorithm = kNames[inner.value - 1];
                else if (inner.number == kSpaceAsSuffix)
                    suffix = inner.value != 0;
                else if (inner.number == kByteFallback)
                    byte_fallback = inner.value != 0;
            });
        }
    });
    // Other algorithms weigh a text as a whole, in numbers whose rounding depends on what was before.
    model.lines_apart = model.algorithm == "BPE" && !maps_characters && escapes && !suffix && byte_fallback &&
                        !long_lines && !model.removes_extra_whitespace;
    return model;
}

}  // namespace eigenscope
