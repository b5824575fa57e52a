// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pytorch_file.h"

#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/checkpoint/safetensors_header.h"
#include "core/checkpoint/shown_name.h"
#include "core/checkpoint/unpickler.h"
#include "core/checkpoint/zip_archive.h"

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <set>

namespace eigenscope {

namespace {

constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kPickleEntry = "data.pkl";
constexpr std::size_t kMaxRank = 64;  // PyTorch's own bound

struct StorageClass {
    std::string_view name;
    FileDType dtype;
};
constexpr std::array<StorageClass, 10> kStorages{{{"torch.FloatStorage", FileDType::F32},
                                                  {"torch.HalfStorage", FileDType::F16},
                                                  {"torch.BFloat16Storage", FileDType::BF16},
                                                  {"torch.DoubleStorage", FileDType::F64},
                                                  {"torch.LongStorage", FileDType::I64},
                                                  {"torch.IntStorage", FileDType::I32},
                                                  {"torch.ShortStorage", FileDType::I16},
                                                  {"torch.CharStorage", FileDType::I8},
                                                  {"torch.ByteStorage", FileDType::U8},
                                                  {"torch.BoolStorage", FileDType::Bool}}};

// All that a pickle of weights may name.
constexpr std::array<std::string_view, kStorages.size() + 3> kGlobals = [] {
    std::array<std::string_view, kStorages.size() + 3> names{kRebuildTensor, kRebuildParameter, "torch.Size"};
    for (std::size_t i = 0; i < kStorages.size(); ++i)
        names[i + 3] = kStorages[i].name;
    return names;
}();

struct Storage {
    FileDType dtype = FileDType::F32;
    SharedBytes data;
    std::int64_t count = 0;  // elements
};

struct View {
    std::int64_t offset = 0;  // elements, like the strides
    std::vector<std::int64_t> shape, strides;
};

bool isValidUtf8(std::string_view text) {
    try {
        static_cast<void>(Json(text).dump());
        return true;
    } catch (const Json::exception&) {
        return false;
    }
}

// As PyTorch defines it: the strides of extents of 1 do not matter.
bool isContiguous(const View& view) {
    std::int64_t expected = 1;
    for (std::size_t i = view.shape.size(); i-- > 0;) {
        if (view.shape[i] == 1)
            continue;
        if (view.strides[i] != expected)
            return false;
        expected *= view.shape[i];
    }
    return true;
}

// One past the largest element that a view that is not empty reaches; empty when that overflows.
std::optional<std::int64_t> reachOf(const View& view) {
    std::int64_t reach = view.offset;
    for (std::size_t i = 0; i < view.shape.size(); ++i) {
        std::int64_t step = 0;
        if (__builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &step) ||
            __builtin_add_overflow(reach, step, &reach))
            return std::nullopt;
    }
    if (__builtin_add_overflow(reach, 1, &reach))
        return std::nullopt;
    return reach;
}

// Row-major copy of a view of `size`-byte elements.
void gather(const View& view, std::size_t size, const std::byte* storage, std::span<std::byte> result) {
    const std::size_t rank = view.shape.size();
    std::vector<std::int64_t> index(rank, 0);
    std::int64_t position = view.offset;
    for (std::size_t at = 0; at < result.size(); at += size) {
        std::memcpy(result.data() + at, storage + static_cast<std::size_t>(position) * size, size);
        for (std::size_t i = rank; i-- > 0;) {
            position += view.strides[i];
            if (++index[i] < view.shape[i])
                break;
            position -= view.strides[i] * view.shape[i];
            index[i] = 0;
        }
    }
}

class PytorchReader {
public:
    PytorchReader(const std::filesystem::path& path, std::shared_ptr<const MappedFile> file)
        : m_path(path),
          m_file(file->bytes()),
          m_budget(unpackedLimit(file->bytes().size())),
          m_zip(path, std::move(file)) {}

    std::vector<TensorRecord> read() {
        const ZipArchive::Entry& entry = pickleEntry();
        if (entry.size > kMaxPickleBytes)
            failField(m_path, kPickleEntry, "is larger than " + std::to_string(kMaxPickleBytes) + " bytes");
        m_root = entry.name.substr(0, entry.name.size() - kPickleEntry.size());
        checkByteOrder();
        const SharedBytes bytes = m_zip.contents(entry);
        if (!entry.deflated)
            m_zip.compareChecksum(entry, bytes.bytes);
        const Pickle pickle(bytes.bytes, kGlobals, m_path, std::string(kPickleEntry));
        m_pickle = &pickle;
        return readDictionary(pickle.root());
    }

private:
    const ZipArchive::Entry& pickleEntry() const {
        const ZipArchive::Entry* found = nullptr;
        for (const ZipArchive::Entry& entry : m_zip.entries()) {
            if (entry.name != kPickleEntry && !entry.name.ends_with("/" + std::string(kPickleEntry)))
                continue;
            if (found)
                failInput(m_path,
                          "has two pickles: " + shownName(found->name) + " and " + shownName(entry.name));
            found = &entry;
        }
        if (!found)
            failInput(m_path, "is a zip archive without data.pkl, expected one that torch.save wrote");
        return *found;
    }

    void checkByteOrder() const {
        const ZipArchive::Entry* entry = m_zip.find(m_root + "byteorder");
        if (!entry)  // before PyTorch 2.1: little-endian
            return;
        const SharedBytes order = m_zip.contents(*entry);
        const std::string_view text(reinterpret_cast<const char*>(order.bytes.data()), order.bytes.size());
        if (text != "little")
            failField(m_path, "byteorder", "is " + shownName(text) + ", expected 'little'");
    }

    std::vector<TensorRecord> readDictionary(const PickleValue& root) {
        if (root.kind != PickleKind::Dict)
            failField(m_path, kPickleEntry, "holds no dictionary of tensors");
        std::vector<TensorRecord> records;
        std::set<std::string_view> names;
        for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
            const PickleValue &key = m_pickle->at(root.items[i]), &value = m_pickle->at(root.items[i + 1]);
            if (key.kind != PickleKind::Text)
                continue;
            m_name = shownName(key.text);
            if (value.kind == PickleKind::Dict && holdsTensors(value))
                failField(
                    m_path, m_name,
                    "holds tensors in a dictionary of its own, expected tensors by name: is it a training "
                    "checkpoint? Save the inner dictionary by itself");
            if (value.kind != PickleKind::Call || value.text == "torch.Size")
                continue;
            if (!isValidUtf8(key.text))
                failField(m_path, m_name, "the tensor's name is not valid UTF-8");
            if (!names.insert(key.text).second)
                failField(m_path, m_name, "is in the dictionary more than once");
            records.push_back(readTensor(value));
            records.back().name = key.text;
        }
        if (records.empty())
            failField(m_path, kPickleEntry, "its dictionary holds no tensor");
        return records;
    }

    bool holdsTensors(const PickleValue& dictionary) const {
        for (std::size_t i = 1; i < dictionary.items.size(); i += 2) {
            const PickleValue& value = m_pickle->at(dictionary.items[i]);
            if (value.kind == PickleKind::Call && value.text != "torch.Size")
                return true;
        }
        return false;
    }

    [[noreturn]] void fail(const std::string& message) const { failField(m_path, m_name, message); }

    const PickleValue& item(const PickleValue& list, std::size_t index, PickleKind kind,
                            const char* what) const {
        const PickleValue* value = index < list.items.size() ? &m_pickle->at(list.items[index]) : nullptr;
        if (!value || value->kind != kind)
            fail(std::string("its pickle has no ") + what + " where one is expected");
        return *value;
    }

    TensorRecord readTensor(const PickleValue& call) {
        const PickleValue* tensor = &call;
        if (tensor->text == kRebuildParameter)  // (tensor, requires_grad, hooks)
            tensor = &item(*tensor, 0, PickleKind::Call, "tensor");
        if (tensor->text != kRebuildTensor)
            fail("is " + shownName(tensor->text) + ", expected a tensor");
        // (storage, offset, shape, strides, requires_grad, hooks)
        const Storage storage = readStorage(item(*tensor, 0, PickleKind::Persistent, "storage"));
        View view;
        view.offset = item(*tensor, 1, PickleKind::Int, "storage offset").number;
        view.shape = integers(item(*tensor, 2, PickleKind::Tuple, "shape"), "shape");
        view.strides = integers(item(*tensor, 3, PickleKind::Tuple, "strides"), "strides");
        TensorRecord record;
        record.file = m_path;
        record.dtype = storage.dtype;
        place(storage, view, record);
        record.shape = std::move(view.shape);
        return record;
    }

    std::vector<std::int64_t> integers(const PickleValue& tuple, const char* what) const {
        if (tuple.items.size() > kMaxRank)
            fail("has " + std::to_string(tuple.items.size()) + " dimensions, expected at most 64");
        std::vector<std::int64_t> values;
        for (std::size_t i = 0; i < tuple.items.size(); ++i) {
            values.push_back(item(tuple, i, PickleKind::Int, "integer").number);
            if (values.back() < 0)
                fail(std::string("a negative number in its ") + what + ": " + std::to_string(values.back()));
        }
        return values;
    }

    // ("storage", class, key, device, elements)
    Storage readStorage(const PickleValue& reference) {
        if (item(reference, 0, PickleKind::Text, "kind of storage").text != "storage")
            fail("refers to something else than a storage");
        const std::string_view type = item(reference, 1, PickleKind::Global, "storage class").text;
        const std::string_view key = item(reference, 2, PickleKind::Text, "storage key").text;
        Storage storage;
        storage.count = item(reference, 4, PickleKind::Int, "storage size").number;
        const StorageClass* known = nullptr;
        for (const StorageClass& row : kStorages) {
            if (row.name == type)
                known = &row;
        }
        if (!known)
            fail(shownName(type) + " is no class of storages");
        storage.dtype = known->dtype;
        storage.data = storageBytes(key);
        const auto bytes =
            storage.count < 0 ? std::nullopt : checkedTensorBytes(known->dtype, {storage.count});
        if (!bytes || *bytes > storage.data.bytes.size())
            fail("its storage declares " + std::to_string(storage.count) + " elements of " +
                 std::string(nameOf(known->dtype)) + ", but " +
                 shownName(m_root + "data/" + std::string(key)) + " has " +
                 std::to_string(storage.data.bytes.size()) + " bytes");
        return storage;
    }

    // Inflated once, however many tensors share it.
    SharedBytes storageBytes(std::string_view key) {
        const auto known = m_storages.find(key);
        if (known != m_storages.end())
            return known->second;
        const std::string name = m_root + "data/" + std::string(key);
        const ZipArchive::Entry* entry = m_zip.find(name);
        if (!entry)
            fail("its storage " + shownName(name) + " is not in the archive");
        return m_storages.emplace(key, m_zip.contents(*entry)).first->second;
    }

    void place(const Storage& storage, const View& view, TensorRecord& record) {
        if (view.shape.size() != view.strides.size())
            fail("has " + std::to_string(view.shape.size()) + " extents but " +
                 std::to_string(view.strides.size()) + " strides");
        const auto bytes = checkedTensorBytes(storage.dtype, view.shape);
        if (!bytes)
            fail("its shape is larger than any file");
        if (*bytes == 0)
            return;
        const std::optional<std::int64_t> reach = reachOf(view);
        if (view.offset < 0 || !reach || *reach > storage.count)
            fail("reaches beyond its storage: offset " + std::to_string(view.offset) +
                 " with its shape and strides, in " + std::to_string(storage.count) + " elements");
        const std::size_t size = sizeOf(storage.dtype);
        if (isContiguous(view)) {
            record.bytes = storage.data.bytes.subspan(static_cast<std::size_t>(view.offset) * size, *bytes);
            record.owner = storage.data.owner;
            record.offset = offsetOf(record.bytes);
            return;
        }
        if (*bytes > m_budget)
            fail("its strides repeat the storage to more than 64 times the file's size");
        m_budget -= *bytes;
        const auto owned = std::make_shared<std::vector<std::byte>>(*bytes);
        gather(view, size, storage.data.bytes.data(), *owned);
        record.bytes = *owned;
        record.owner = owned;
    }

    // Where bytes lie in the file; nothing for those that were inflated.
    std::optional<std::uint64_t> offsetOf(std::span<const std::byte> bytes) const {
        const std::less<const std::byte*> before;
        if (before(bytes.data(), m_file.data()) || !before(bytes.data(), m_file.data() + m_file.size()))
            return std::nullopt;
        return static_cast<std::uint64_t>(bytes.data() - m_file.data());
    }

    const std::filesystem::path& m_path;
    std::span<const std::byte> m_file;  // mapped as long as m_zip lives
    std::uint64_t m_budget;             // bytes that strided tensors may still take
    ZipArchive m_zip;
    std::string m_root;  // "<name>/"
    const Pickle* m_pickle = nullptr;
    std::string m_name;  // of the tensor that is being read
    std::map<std::string, SharedBytes, std::less<>> m_storages;
};

// What else is found under this name, and what helps.
[[noreturn]] void failNoArchive(const std::filesystem::path& path, std::span<const std::byte> file) {
    const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
    // A pickle of the magic number 0x1950a86a20f9469cfc6c; the first versions wrote a tar archive.
    constexpr std::string_view kPickled("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14);
    if (text.starts_with(kPickled) || (text.size() > 262 && text.substr(257, 5) == "ustar"))
        failInput(path,
                  "is in PyTorch's format from before version 1.6, which is not read: convert it to "
                  "safetensors, or load and save it again with a newer PyTorch");
    failInput(path, file.empty() ? "is empty, expected the zip archive that torch.save writes"
                                 : "is no zip archive, expected the one that torch.save writes");
}

}  // namespace

std::vector<TensorRecord> readPytorchFile(const std::filesystem::path& path) {
    auto file = MappedFile::open(path);
    if (!ZipArchive::looksLikeOne(file->bytes()))
        failNoArchive(path, file->bytes());
    return PytorchReader(path, std::move(file)).read();
}

}  // namespace eigenscope
