// SPDX-License-Identifier: Apache-2.0
// Reading a pickle as data (Python's pickle protocol 2; the opcodes are described in CPython's
// Lib/pickletools.py). Nothing is ever imported or called: what a pickle asks to call becomes a node that
// names it, and only names of a closed list are accepted. Opcodes are a closed list too, those that
// torch.save writes for dictionaries of tensors. Values lie in one list and refer to each other by position,
// so that neither deep nor circular structures can exhaust the stack or leak. Immutable; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

enum class PickleKind : std::uint8_t {
    None,
    Bool,        // number: 0 or 1
    Int,         // number
    Float,       // its value is of no use here and not kept
    Text,        // text
    Tuple,       // items
    List,        // items
    Dict,        // items: key, value, key, value, ... in order of insertion; keys may repeat
    Global,      // text: "module.name"
    Call,        // text: the global that was to be called, items: its arguments
    Persistent,  // items: of the tuple that stands for something outside the pickle
};

struct PickleValue {
    PickleKind kind = PickleKind::None;
    std::int64_t number = 0;
    std::string_view text;             // in the pickle's bytes
    std::vector<std::uint32_t> items;  // positions, see Pickle::at
};

class Pickle {
public:
    // `label` and `field` begin the messages. `globals` ("module.name") is the closed list; OrderedDict is
    // known beside it. The bytes must outlive the pickle.
    Pickle(std::span<const std::byte> bytes, std::span<const std::string_view> globals,
           const std::filesystem::path& label, const std::string& field);

    const PickleValue& at(std::uint32_t position) const { return m_values[position]; }
    const PickleValue& root() const { return m_values[m_root]; }

private:
    friend class PickleReader;
    std::vector<PickleValue> m_values;
    std::uint32_t m_root = 0;
};

inline constexpr std::size_t kMaxPickleBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxPickleValues = std::size_t{4} << 20;  // hundreds of thousands of tensors
inline constexpr std::size_t kMaxPickleItems = 4 * kMaxPickleValues;
inline constexpr std::size_t kMaxPickleStack = std::size_t{1} << 20;
inline constexpr std::size_t kMaxPickleMarks = 256;  // structures open at a time

}  // namespace eigenscope
