// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unpickler.h"

#include "core/base/fail.h"
#include "core/checkpoint/shown_name.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

namespace eigenscope {

namespace {

constexpr std::string_view kOrderedDict = "collections.OrderedDict";

// Named as in pickletools.py.
enum Opcode : std::uint8_t {
    kProto = 0x80,
    kStop = '.',
    kMark = '(',
    kNone = 'N',
    kNewTrue = 0x88,
    kNewFalse = 0x89,
    kBinInt = 'J',
    kBinInt1 = 'K',
    kBinInt2 = 'M',
    kLong1 = 0x8a,
    kBinFloat = 'G',
    kBinUnicode = 'X',
    kShortBinString = 'U',
    kBinString = 'T',
    kEmptyTuple = ')',
    kTuple = 't',
    kTuple1 = 0x85,
    kTuple2 = 0x86,
    kTuple3 = 0x87,
    kEmptyList = ']',
    kAppend = 'a',
    kAppends = 'e',
    kEmptyDict = '}',
    kSetItem = 's',
    kSetItems = 'u',
    kBinPut = 'q',
    kLongBinPut = 'r',
    kBinGet = 'h',
    kLongBinGet = 'j',
    kGlobal = 'c',
    kReduce = 'R',
    kBuild = 'b',
    kBinPersId = 'Q',
};

}  // namespace

class PickleReader {
public:
    PickleReader(Pickle& pickle, std::span<const std::byte> bytes, std::span<const std::string_view> globals,
                 const std::filesystem::path& label, const std::string& field)
        : m_values(pickle.m_values), m_bytes(bytes), m_globals(globals), m_label(label), m_field(field) {}

    std::uint32_t read() {
        if (m_bytes.size() > kMaxPickleBytes)
            fail("is larger than " + std::to_string(kMaxPickleBytes) + " bytes");
        while (true) {
            m_start = m_at;
            const auto opcode = static_cast<std::uint8_t>(number(1));
            if (opcode == kStop)
                break;
            if (!readScalar(opcode) && !readContainer(opcode) && !readMemo(opcode) && !readObject(opcode))
                failOpcode(opcode);
        }
        const std::uint32_t root = pop();
        if (!m_stack.empty() || !m_marks.empty())
            fail("ends with values left over");
        return root;
    }

private:
    using Id = std::uint32_t;

    [[noreturn]] void fail(const std::string& message) const {
        failField(m_label, m_field, "byte " + std::to_string(m_start) + ": " + message);
    }
    [[noreturn]] void failOpcode(std::uint8_t opcode) const {
        char text[8];
        std::snprintf(text, sizeof text, "0x%02x", opcode);
        fail(std::string("the pickle opcode ") + text +
             " is not one that PyTorch writes for tensors, refused");
    }

    std::span<const std::byte> take(std::uint64_t count) {
        if (count > m_bytes.size() - m_at)
            fail("reaches beyond the end of the pickle: truncated?");
        m_at += count;
        return m_bytes.subspan(m_at - count, count);
    }
    std::uint64_t number(std::size_t width) {
        std::uint64_t value = 0;
        const std::span<const std::byte> bytes = take(width);
        for (std::size_t i = 0; i < width; ++i)
            value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
        return value;
    }
    std::string_view text(std::uint64_t length) {
        const std::span<const std::byte> bytes = take(length);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    std::string_view line() {
        constexpr std::size_t kLongest = 256;  // of the names of modules and classes
        const std::string_view rest(reinterpret_cast<const char*>(m_bytes.data()) + m_at,
                                    std::min(m_bytes.size() - m_at, kLongest));
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos)
            fail("a name is longer than 256 bytes or does not end");
        m_at += end + 1;
        return rest.substr(0, end);
    }

    void push(Id id) {
        if (m_stack.size() == kMaxPickleStack)
            fail("more than " + std::to_string(kMaxPickleStack) + " values wait on the stack");
        m_stack.push_back(id);
    }
    void pushNew(PickleKind kind, std::int64_t number = 0, std::string_view text = {},
                 std::vector<Id> items = {}) {
        if (m_values.size() == kMaxPickleValues)
            fail("has more than " + std::to_string(kMaxPickleValues) + " values");
        countItems(items.size());
        m_values.push_back({kind, number, text, std::move(items)});
        push(static_cast<Id>(m_values.size() - 1));
    }
    // A remembered structure can be copied again and again by a few bytes.
    void countItems(std::size_t count) {
        m_items += count;
        if (m_items > kMaxPickleItems)
            fail("its structures have more than " + std::to_string(kMaxPickleItems) + " items");
    }
    // Values above the last mark, or above the bottom, belong to the structure that is being read.
    std::size_t bottom() const { return m_marks.empty() ? 0 : m_marks.back(); }
    Id pop() {
        if (m_stack.size() <= bottom())
            fail("takes a value from an empty stack");
        const Id id = m_stack.back();
        m_stack.pop_back();
        return id;
    }
    Id top() {
        if (m_stack.size() <= bottom())
            fail("takes a value from an empty stack");
        return m_stack.back();
    }
    std::vector<Id> popItems(std::size_t count) {
        if (m_stack.size() - bottom() < count)
            fail("takes a value from an empty stack");
        std::vector<Id> items(m_stack.end() - static_cast<std::ptrdiff_t>(count), m_stack.end());
        m_stack.resize(m_stack.size() - count);
        return items;
    }
    std::vector<Id> popMark() {
        if (m_marks.empty())
            fail("ends a structure that was not begun");
        std::vector<Id> items = popItems(m_stack.size() - m_marks.back());
        m_marks.pop_back();
        return items;
    }

    bool readScalar(std::uint8_t opcode) {
        switch (opcode) {
            case kNone:
                pushNew(PickleKind::None);
                return true;
            case kNewTrue:
                pushNew(PickleKind::Bool, 1);
                return true;
            case kNewFalse:
                pushNew(PickleKind::Bool, 0);
                return true;
            case kBinInt:
                pushNew(PickleKind::Int, static_cast<std::int32_t>(number(4)));
                return true;
            case kBinInt1:
                pushNew(PickleKind::Int, static_cast<std::int64_t>(number(1)));
                return true;
            case kBinInt2:
                pushNew(PickleKind::Int, static_cast<std::int64_t>(number(2)));
                return true;
            case kLong1:
                pushNew(PickleKind::Int, longInteger());
                return true;
            case kBinFloat:
                take(8);
                pushNew(PickleKind::Float);
                return true;
            case kBinUnicode:
            case kBinString:
                pushNew(PickleKind::Text, 0, text(number(4)));
                return true;
            case kShortBinString:
                pushNew(PickleKind::Text, 0, text(number(1)));
                return true;
            default:
                return false;
        }
    }

    // Two's complement of as many bytes as it takes.
    std::int64_t longInteger() {
        const std::uint64_t width = number(1);
        if (width > 8)
            fail("an integer of " + std::to_string(width) + " bytes, expected at most 8");
        std::uint64_t value = number(width);
        if (width > 0 && width < 8 && (value >> (8 * width - 1)) != 0)
            value |= ~std::uint64_t{0} << (8 * width);
        return static_cast<std::int64_t>(value);
    }

    bool readContainer(std::uint8_t opcode) {
        switch (opcode) {
            case kMark:
                if (m_marks.size() == kMaxPickleMarks)
                    fail("structures are nested deeper than " + std::to_string(kMaxPickleMarks));
                m_marks.push_back(m_stack.size());
                return true;
            case kEmptyTuple:
                pushNew(PickleKind::Tuple);
                return true;
            case kTuple1:
                pushNew(PickleKind::Tuple, 0, {}, popItems(1));
                return true;
            case kTuple2:
                pushNew(PickleKind::Tuple, 0, {}, popItems(2));
                return true;
            case kTuple3:
                pushNew(PickleKind::Tuple, 0, {}, popItems(3));
                return true;
            case kTuple:
                pushNew(PickleKind::Tuple, 0, {}, popMark());
                return true;
            case kEmptyList:
                pushNew(PickleKind::List);
                return true;
            case kEmptyDict:
                pushNew(PickleKind::Dict);
                return true;
            case kAppend:
                append(PickleKind::List, popItems(1));
                return true;
            case kAppends:
                append(PickleKind::List, popMark());
                return true;
            case kSetItem:
                append(PickleKind::Dict, popItems(2));
                return true;
            case kSetItems:
                append(PickleKind::Dict, popMark());
                return true;
            default:
                return false;
        }
    }

    void append(PickleKind kind, const std::vector<Id>& items) {
        PickleValue& target = m_values[top()];
        if (target.kind != kind)
            fail(kind == PickleKind::List ? "appends to what is no list"
                                          : "sets items of what is no dictionary");
        if (kind == PickleKind::Dict && items.size() % 2 != 0)
            fail("sets a key without a value");
        countItems(items.size());
        target.items.insert(target.items.end(), items.begin(), items.end());
    }

    bool readMemo(std::uint8_t opcode) {
        switch (opcode) {
            case kBinPut:
                m_memo[number(1)] = top();
                return true;
            case kLongBinPut:
                m_memo[number(4)] = top();
                return true;
            case kBinGet:
                pushRemembered(number(1));
                return true;
            case kLongBinGet:
                pushRemembered(number(4));
                return true;
            default:
                return false;
        }
    }
    void pushRemembered(std::uint64_t key) {
        const auto found = m_memo.find(key);
        if (found == m_memo.end())
            fail("recalls value " + std::to_string(key) + ", which was not remembered");
        push(found->second);
    }

    bool readObject(std::uint8_t opcode) {
        switch (opcode) {
            case kProto:
                if (const std::uint64_t version = number(1); version != 2)
                    fail("pickle protocol " + std::to_string(version) + ", expected 2");
                return true;
            case kGlobal:
                readGlobal();
                return true;
            case kReduce:
                call();
                return true;
            case kBuild: {
                // The attributes of a dictionary, such as state_dict's _metadata, are of no use here.
                pop();
                if (m_values[top()].kind != PickleKind::Dict)
                    fail("sets attributes of what is no dictionary");
                return true;
            }
            case kBinPersId: {
                const Id tuple = pop();
                if (m_values[tuple].kind != PickleKind::Tuple)
                    fail("refers to a storage by what is no tuple");
                pushNew(PickleKind::Persistent, 0, {}, std::vector<Id>(m_values[tuple].items));
                return true;
            }
            default:
                return false;
        }
    }

    void readGlobal() {
        const std::string_view module = line(), name = line();
        const auto is = [&](std::string_view full) {
            return full.size() == module.size() + 1 + name.size() && full.starts_with(module) &&
                   full[module.size()] == '.' && full.ends_with(name);
        };
        if (is(kOrderedDict)) {
            pushNew(PickleKind::Global, 0, kOrderedDict);
            return;
        }
        for (const std::string_view known : m_globals) {
            if (is(known)) {
                pushNew(PickleKind::Global, 0, known);
                return;
            }
        }
        fail("asks for " + shownName(std::string(module) + "." + std::string(name)) +
             ", which is not a part of weights: refused, nothing was executed");
    }

    void call() {
        const Id arguments = pop(), callee = pop();
        if (m_values[callee].kind != PickleKind::Global || m_values[arguments].kind != PickleKind::Tuple)
            fail("calls what is no global");
        std::vector<Id> items = m_values[arguments].items;
        if (m_values[callee].text != kOrderedDict) {
            pushNew(PickleKind::Call, 0, m_values[callee].text, std::move(items));
            return;
        }
        // OrderedDict(), or as Python 2 writes it, OrderedDict([[key, value], ...]).
        std::vector<Id> pairs;
        if (items.size() > 1 || (items.size() == 1 && m_values[items[0]].kind != PickleKind::List))
            fail("makes an OrderedDict of something else than a list of pairs");
        if (items.size() == 1) {
            for (const Id pair : m_values[items[0]].items) {
                const std::vector<Id>& both = m_values[pair].items;
                if (both.size() != 2)
                    fail("makes an OrderedDict of something else than a list of pairs");
                pairs.insert(pairs.end(), both.begin(), both.end());
            }
        }
        pushNew(PickleKind::Dict, 0, {}, std::move(pairs));
    }

    std::vector<PickleValue>& m_values;
    std::span<const std::byte> m_bytes;
    std::span<const std::string_view> m_globals;
    const std::filesystem::path& m_label;
    const std::string& m_field;
    std::size_t m_at = 0, m_start = 0, m_items = 0;
    std::vector<Id> m_stack;
    std::vector<std::size_t> m_marks;  // sizes of the stack
    std::unordered_map<std::uint64_t, Id> m_memo;
};

Pickle::Pickle(std::span<const std::byte> bytes, std::span<const std::string_view> globals,
               const std::filesystem::path& label, const std::string& field) {
    m_root = PickleReader(*this, bytes, globals, label, field).read();
}

}  // namespace eigenscope
