// SPDX-License-Identifier: Apache-2.0
#include "core/model/kv_format.h"

#include "kernels/api/error.h"
#include "kernels/api/kv_layout.h"

#include <algorithm>

namespace eigenscope {

namespace {

constexpr int kBits[] = {8, 4, 3, 2};

bool isBits(std::int64_t bits) { return std::ranges::find(kBits, bits) != std::end(kBits); }

std::vector<int> readBits(const JsonView& json, std::size_t layers) {
    if (json.size() != layers) {
        json.fail("has " + std::to_string(json.size()) + " entries, expected one for each of the " +
                  std::to_string(layers) + " layers");
    }
    std::vector<int> bits;
    for (std::size_t i = 0; i < layers; ++i) {
        const std::int64_t value = json.at(i).integer(2, kUnquantised);
        if (!isBits(value) && value != kUnquantised) {
            json.at(i).fail("expected 8, 4, 3, 2, or 16 for unquantised, found " + std::to_string(value));
        }
        bits.push_back(static_cast<int>(value));
    }
    return bits;
}

std::string bitsText(const std::vector<int>& bits) {
    const auto [least, most] = std::ranges::minmax(bits);
    return least == most ? std::to_string(least) + " bit"
                         : std::to_string(least) + " to " + std::to_string(most) + " bit";
}

KvSideFormat sideOf(const KvBits& plan, int bits, KvGrouping grouping, DType dtype) {
    if (bits == kUnquantised) {
        return {.dtype = dtype};
    }
    return {dtype, bits, plan.group, grouping, plan.recent};
}

}  // namespace

KvView KvSideFormat::view(int batch, int heads, int width, std::int64_t capacity,
                          std::int64_t longest) const {
    KvView view;
    view.dtype = dtype;
    view.batch = batch;
    view.heads = heads;
    view.width = width;
    view.capacity = capacity;
    view.bits = bits;
    view.group = group;
    view.grouping = grouping;
    view.recent = recent;
    view.exact_capacity = kvRingRows(view, longest);
    return view;
}

double KvSideFormat::bytesPerRow(int width) const {
    const KvView one = view(1, 1, width, 1, 1);
    const auto codes = static_cast<double>(kvRowBytes(one));
    return bits == 0
               ? codes
               : codes + 2.0 * static_cast<double>(kvScaleStride(one)) / static_cast<double>(kvSpan(one));
}

KvFormat KvFormat::quantised(int bits, DType exact) {
    KvFormat format(exact);
    format.bits = bits;
    return format;
}

std::string_view nameOf(const KvFormat& format) {
    if (format.planned) {
        return "planned";
    }
    switch (format.bits) {
        case 8:
            return "q8";
        case 4:
            return "q4";
        case 3:
            return "q3";
        case 2:
            return "q2";
        default:
            return nameOf(format.dtype);
    }
}

std::optional<KvFormat> kvFormatFromName(std::string_view name) {
    if (const auto dtype = dtypeFromName(name)) {
        return KvFormat(*dtype);
    }
    for (const int bits : kBits) {
        if (name == nameOf(KvFormat::quantised(bits))) {
            return KvFormat::quantised(bits);
        }
    }
    return std::nullopt;
}

std::string_view nameOf(KvGrouping grouping) { return grouping == KvGrouping::Channel ? "channel" : "token"; }

std::optional<KvGrouping> kvGroupingFromName(std::string_view name) {
    for (const KvGrouping grouping : {KvGrouping::Token, KvGrouping::Channel}) {
        if (name == nameOf(grouping)) {
            return grouping;
        }
    }
    return std::nullopt;
}

std::string textOf(const KvFormat& format) {
    std::string text(nameOf(format));
    if (format.bits == 0) {
        return text;
    }
    if (format.group != KvFormat().group) {
        text += ", groups of " + std::to_string(format.group);
    }
    if (format.keys == KvGrouping::Channel) {
        text += ", keys by channel";
    }
    if (format.recent > 0) {
        text += ", " + std::to_string(format.recent) + " recent exact";
    }
    return text;
}

void checkKvFormat(const KvFormat& format) {
    const auto fail = [](const std::string& message) { throw Error(ErrorCode::InvalidInput, message); };
    if (format.bits != 0 && !isBits(format.bits)) {
        fail("KV format of " + std::to_string(format.bits) + " bits: expected 8, 4, 3 or 2");
    }
    if (format.group < 8 || format.group > kMostGroup || format.group % 8 != 0) {
        fail("KV group " + std::to_string(format.group) + ": expected a multiple of 8 up to " +
             std::to_string(kMostGroup));
    }
    if (format.recent < 0 || format.recent > kMostRecent) {
        fail("KV recent window " + std::to_string(format.recent) + ": expected 0 to " +
             std::to_string(kMostRecent));
    }
}

KvBits KvBits::uniform(std::size_t layers, int key_bits, int value_bits) {
    KvBits bits;
    bits.keys.assign(layers, key_bits);
    bits.values.assign(layers, value_bits);
    return bits;
}

bool KvBits::quantises() const {
    const auto few = [](int bits) { return bits < kUnquantised; };
    return std::ranges::any_of(keys, few) || std::ranges::any_of(values, few);
}

KvSideFormat KvBits::keysOf(std::size_t layer, DType dtype) const {
    return empty() ? KvSideFormat{.dtype = dtype} : sideOf(*this, keys.at(layer), key_grouping, dtype);
}

KvSideFormat KvBits::valuesOf(std::size_t layer, DType dtype) const {
    return empty() ? KvSideFormat{.dtype = dtype} : sideOf(*this, values.at(layer), KvGrouping::Token, dtype);
}

std::string KvBits::text() const {
    if (empty()) {
        return "unquantised";
    }
    return keys == values ? bitsText(keys) : "keys " + bitsText(keys) + ", values " + bitsText(values);
}

void writeKvBits(const KvBits& bits, Json& json) {
    if (bits.empty()) {
        return;
    }
    json["key_bits"] = bits.keys;
    json["value_bits"] = bits.values;
    writeKvGroups(bits, json);
}

void writeKvGroups(const KvBits& bits, Json& json) {
    json["kv_group"] = bits.group;
    json["kv_keys"] = nameOf(bits.key_grouping);
    json["kv_recent"] = bits.recent;
}

void readKvGroups(const JsonView& json, KvBits& bits) {
    bits.group = static_cast<int>(json.integerOr("kv_group", bits.group, 8, kMostGroup));
    if (bits.group % 8 != 0) {
        json.at("kv_group").fail("expected a multiple of 8, found " + std::to_string(bits.group));
    }
    if (const auto grouping = json.find("kv_keys")) {
        const auto read = kvGroupingFromName(grouping->string());
        if (!read) {
            grouping->fail("expected token or channel");
        }
        bits.key_grouping = *read;
    }
    bits.recent = static_cast<int>(json.integerOr("kv_recent", bits.recent, 0, kMostRecent));
}

KvBits readKvBits(const JsonView& json, std::size_t layers) {
    KvBits bits;
    const auto keys = json.find("key_bits"), values = json.find("value_bits");
    if (!keys && !values) {
        return bits;
    }
    bits.keys = keys ? readBits(*keys, layers) : std::vector<int>(layers, kUnquantised);
    bits.values = values ? readBits(*values, layers) : std::vector<int>(layers, kUnquantised);
    readKvGroups(json, bits);
    return bits;
}

double kvRatioOf(const std::vector<int>& key_ranks, const std::vector<int>& value_ranks, const KvBits& bits,
                 int head_dim) {
    double bytes = 0.0, full = 0.0;
    for (std::size_t layer = 0; layer < key_ranks.size(); ++layer) {
        bytes += bits.keysOf(layer, DType::F16).bytesPerRow(key_ranks[layer]) +
                 bits.valuesOf(layer, DType::F16).bytesPerRow(value_ranks[layer]);
        full += 2.0 * KvSideFormat{.dtype = DType::F16}.bytesPerRow(head_dim);
    }
    return full > 0.0 ? bytes / full : 1.0;
}

}  // namespace eigenscope
