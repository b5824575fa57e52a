// SPDX-License-Identifier: Apache-2.0
// How keys and values are held in the cache: as elements of a dtype, or as codes of a few bits with a scale
// and a minimum for each group (kernels/api/ops.h, KvView). Plain values.
#pragma once

#include "core/base/json.h"
#include "kernels/api/ops.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

inline constexpr int kUnquantised = 16;  // in lists of bits: the run's dtype

// Keys or values of one layer.
struct KvSideFormat {
    DType dtype = DType::F32;  // of the elements; of the rows that stay exact when there are codes
    int bits = 0;              // 8, 4, 3 or 2; 0: no codes
    int group = 32;
    KvGrouping grouping = KvGrouping::Token;
    int recent = 0;  // newest positions that are read exactly
    bool operator==(const KvSideFormat&) const = default;

    // The view of a cache without its memory.
    KvView view(int batch, int heads, int width, std::int64_t capacity, std::int64_t longest) const;
    // What a position of one head takes in the long run; a group by channel shares its scales over `group` of
    // them.
    double bytesPerRow(int width) const;
};

// What a run uses for all layers.
struct KvFormat {
    KvFormat(DType of = DType::F32) : dtype(of) {}  // implicit: a dtype is a format
    static KvFormat quantised(int bits, DType exact = DType::F32);

    DType dtype;  // as in KvSideFormat
    int bits = 0;
    int group = 32;
    KvGrouping keys = KvGrouping::Token;  // values are always grouped by token
    int recent = 0;
    bool planned = false;  // bits, groups and window are those of the converted checkpoint (KvBits)
    bool operator==(const KvFormat&) const = default;
    bool hasCodes() const { return bits != 0 || planned; }
};

// "f32", "f16", "bf16", "q8", "q4", "q3", "q2"; and what every list of formats offers.
std::string_view nameOf(const KvFormat& format);
std::optional<KvFormat> kvFormatFromName(std::string_view name);
inline constexpr std::string_view kKvFormatNames[] = {"f32", "f16", "bf16", "q8", "q4", "q3", "q2"};
// With what is not the default: "q4, groups of 64, keys by channel, 32 recent exact".
std::string textOf(const KvFormat& format);
std::string_view nameOf(KvGrouping grouping);  // "token", "channel"
std::optional<KvGrouping> kvGroupingFromName(std::string_view name);

inline constexpr int kMostGroup = 1024, kMostRecent = 1 << 24;
// Throws InvalidInput, naming what is wrong.
void checkKvFormat(const KvFormat& format);

// Bits of every layer's keys and values, as a rank plan and a converted checkpoint carry them.
struct KvBits {
    std::vector<int> keys, values;  // [layers]: 8, 4, 3, 2, or kUnquantised; both empty: nothing is said
    int group = 32;
    KvGrouping key_grouping = KvGrouping::Token;
    int recent = 0;
    bool operator==(const KvBits&) const = default;

    static KvBits uniform(std::size_t layers, int key_bits, int value_bits);
    bool empty() const { return keys.empty(); }
    bool quantises() const;  // some bits are fewer than kUnquantised
    // The format of a layer's side when unquantised elements are of `dtype`.
    KvSideFormat keysOf(std::size_t layer, DType dtype) const;
    KvSideFormat valuesOf(std::size_t layer, DType dtype) const;
    std::string text() const;  // "4 bit", "keys 8 bit, values 4 bit", "2 to 8 bit"
};
// Adds key_bits, value_bits, kv_group, kv_keys and kv_recent; nothing when empty.
void writeKvBits(const KvBits& bits, Json& json);
KvBits readKvBits(const JsonView& json, std::size_t layers);
// kv_group, kv_keys and kv_recent alone, which a plan remembers where it has no bits yet.
void writeKvGroups(const KvBits& bits, Json& json);
void readKvGroups(const JsonView& json, KvBits& bits);

// Cache bytes at these ranks and bits / those of full ranks in f16, a position in the long run. Without bits
// this is the share of ranks kept.
double kvRatioOf(const std::vector<int>& key_ranks, const std::vector<int>& value_ranks, const KvBits& bits,
                 int head_dim);

}  // namespace eigenscope
