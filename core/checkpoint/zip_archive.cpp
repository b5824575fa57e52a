// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/zip_archive.h"

#include "core/base/fail.h"
#include "core/checkpoint/shown_name.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <optional>

namespace eigenscope {

namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50, kDirectorySignature = 0x02014b50,
                        kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                        kLocator64Signature = 0x07064b50;
constexpr std::uint64_t kLocalBytes = 30, kDirectoryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                        kLocator64Bytes = 20;
constexpr std::uint64_t kMaxComment = 0xffff;
constexpr std::uint32_t kIn64 = 0xffffffff;  // the true value is in the ZIP64 field
constexpr std::uint16_t kExtra64 = 0x0001, kEncrypted = 0x0001;
constexpr std::uint16_t kStored = 0, kDeflated = 8;

// Little-endian numbers at positions that were checked.
std::uint64_t number(std::span<const std::byte> bytes, std::uint64_t at, std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i)
        value |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i);
    return value;
}
std::uint16_t u16(std::span<const std::byte> bytes, std::uint64_t at) {
    return static_cast<std::uint16_t>(number(bytes, at, 2));
}
std::uint32_t u32(std::span<const std::byte> bytes, std::uint64_t at) {
    return static_cast<std::uint32_t>(number(bytes, at, 4));
}
std::uint64_t u64(std::span<const std::byte> bytes, std::uint64_t at) { return number(bytes, at, 8); }

bool fits(std::uint64_t begin, std::uint64_t length, std::uint64_t size) {
    return begin <= size && length <= size - begin;
}

std::string_view textAt(std::span<const std::byte> bytes, std::uint64_t at, std::uint64_t length) {
    return {reinterpret_cast<const char*>(bytes.data()) + at, length};
}

struct Directory {
    std::uint64_t entries = 0, begin = 0, size = 0;
};

// The end record is followed by a comment of unknown length only: found from the back.
std::uint64_t findEnd(const std::filesystem::path& path, std::span<const std::byte> file) {
    if (file.size() >= kEndBytes) {
        const std::uint64_t last = file.size() - kEndBytes;
        const std::uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
        for (std::uint64_t at = last + 1; at-- > first;) {
            if (u32(file, at) == kEndSignature && u16(file, at + 20) == last - at)
                return at;
        }
    }
    failInput(path, "is a zip archive without its directory at the end: truncated?");
}

Directory findDirectory(const std::filesystem::path& path, std::span<const std::byte> file) {
    const std::uint64_t end = findEnd(path, file);
    std::uint64_t disk = u16(file, end + 4), directory_disk = u16(file, end + 6);
    Directory directory{u16(file, end + 10), u32(file, end + 16), u32(file, end + 12)};
    std::uint64_t limit = end;
    if (end >= kLocator64Bytes && u32(file, end - kLocator64Bytes) == kLocator64Signature) {
        const std::uint64_t end64 = u64(file, end - kLocator64Bytes + 8);
        if (!fits(end64, kEnd64Bytes, end - kLocator64Bytes) || u32(file, end64) != kEnd64Signature)
            failInput(path, "is a damaged zip archive: its ZIP64 locator points to no end record");
        disk = u32(file, end64 + 16);
        directory_disk = u32(file, end64 + 20);
        directory = {u64(file, end64 + 32), u64(file, end64 + 48), u64(file, end64 + 40)};
        limit = end64;
    }
    if (disk != 0 || directory_disk != 0)
        failInput(path, "is one part of a zip archive that is split over several files");
    if (!fits(directory.begin, directory.size, limit))
        failInput(path, "is a damaged zip archive: a directory of " + std::to_string(directory.size) +
                            " bytes at " + std::to_string(directory.begin) +
                            " does not fit before its end record at " + std::to_string(limit));
    if (directory.entries > directory.size / kDirectoryBytes)
        failInput(path, "is a damaged zip archive: a directory of " + std::to_string(directory.size) +
                            " bytes cannot hold " + std::to_string(directory.entries) + " entries");
    return directory;
}

// One row of the directory.
struct Row {
    std::uint64_t at, length;  // of the record
    std::string_view name;
    std::uint16_t flags, method;
    std::uint32_t checksum;
    std::uint64_t packed, size, local;
};

// Sizes and the offset that do not fit into 32 bits are in an extra field, only those, in this order.
bool read64(std::span<const std::byte> extra, Row& row) {
    for (std::uint64_t at = 0; fits(at, 4, extra.size());) {
        const std::uint64_t length = u16(extra, at + 2);
        if (!fits(at + 4, length, extra.size()))
            return false;
        if (u16(extra, at) != kExtra64) {
            at += 4 + length;
            continue;
        }
        std::uint64_t next = at + 4;
        for (std::uint64_t* value : {&row.size, &row.packed, &row.local}) {
            if (*value != kIn64)
                continue;
            if (!fits(next, 8, at + 4 + length))
                return false;
            *value = u64(extra, next);
            next += 8;
        }
        return true;
    }
    return row.size != kIn64 && row.packed != kIn64 && row.local != kIn64;
}

std::optional<Row> readRow(std::span<const std::byte> file, std::uint64_t at, std::uint64_t end) {
    if (!fits(at, kDirectoryBytes, end) || u32(file, at) != kDirectorySignature)
        return std::nullopt;
    const std::uint64_t name = u16(file, at + 28), extra = u16(file, at + 30), comment = u16(file, at + 32);
    Row row{at,
            kDirectoryBytes + name + extra + comment,
            {},
            u16(file, at + 8),
            u16(file, at + 10),
            u32(file, at + 16),
            u32(file, at + 20),
            u32(file, at + 24),
            u32(file, at + 42)};
    if (!fits(at, row.length, end))
        return std::nullopt;
    row.name = textAt(file, at + kDirectoryBytes, name);
    if (!read64(file.subspan(at + kDirectoryBytes + name, extra), row))
        return std::nullopt;
    return row;
}

// The local header repeats the name; its own extra field's length says where the data begin.
std::optional<std::span<const std::byte>> packedBytes(std::span<const std::byte> file, const Row& row,
                                                      std::uint64_t directory) {
    if (!fits(row.local, kLocalBytes, directory) || u32(file, row.local) != kLocalSignature)
        return std::nullopt;
    const std::uint64_t name = u16(file, row.local + 26), extra = u16(file, row.local + 28);
    const std::uint64_t data = row.local + kLocalBytes + name + extra;
    if (!fits(row.local, kLocalBytes + name + extra, directory) || !fits(data, row.packed, directory) ||
        textAt(file, row.local + kLocalBytes, name) != row.name)
        return std::nullopt;
    return file.subspan(data, row.packed);
}

}  // namespace

std::uint64_t unpackedLimit(std::uint64_t file_size) {
    constexpr std::uint64_t kFactor = 64, kConstant = std::uint64_t{16} << 20;
    return file_size < std::numeric_limits<std::uint64_t>::max() / kFactor - kConstant
               ? file_size * kFactor + kConstant
               : std::numeric_limits<std::uint64_t>::max();
}

bool ZipArchive::looksLikeOne(std::span<const std::byte> file) {
    return file.size() >= 4 && (u32(file, 0) == kLocalSignature || u32(file, 0) == kEndSignature);
}

ZipArchive::ZipArchive(const std::filesystem::path& path, std::shared_ptr<const MappedFile> file)
    : m_path(path), m_file(std::move(file)) {
    readDirectory();
    checkEntries();
}

void ZipArchive::readDirectory() {
    const std::span<const std::byte> file = m_file->bytes();
    const Directory directory = findDirectory(m_path, file);
    const std::uint64_t end = directory.begin + directory.size;
    std::uint64_t at = directory.begin;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
        const std::optional<Row> row = readRow(file, at, end);
        if (!row)
            failInput(m_path, "is a damaged zip archive: entry " + std::to_string(i + 1) + " of " +
                                  std::to_string(directory.entries) + " in its directory is not readable");
        const std::string name = shownName(row->name);
        if (row->flags & kEncrypted)
            failField(m_path, name, "is encrypted, which is not supported");
        if (row->method != kStored && row->method != kDeflated)
            failField(m_path, name,
                      "is compressed by method " + std::to_string(row->method) +
                          ", expected stored (0) or deflated (8)");
        const auto packed = packedBytes(file, *row, directory.begin);
        if (!packed)
            failField(m_path, name, "has no matching local header and data in the file: damaged?");
        if (row->method == kStored && row->packed != row->size)
            failField(m_path, name,
                      "is stored in " + std::to_string(row->packed) + " bytes but declares " +
                          std::to_string(row->size));
        if (!m_index.emplace(row->name, m_entries.size()).second)
            failField(m_path, name, "is in the archive more than once");
        m_entries.push_back(
            {std::string(row->name), *packed, row->size, row->checksum, row->method == kDeflated});
        at += row->length;
    }
}

// Overlapping entries are how a small archive names the same bytes many times over.
void ZipArchive::checkEntries() const {
    std::vector<const Entry*> sorted;
    const std::uint64_t limit = unpackedLimit(m_file->bytes().size());
    std::uint64_t unpacked = 0;
    for (const Entry& entry : m_entries) {
        if (entry.deflated && (entry.size > limit || (unpacked += entry.size) > limit))
            failField(m_path, shownName(entry.name),
                      "the archive would unpack to more than 64 times its size, which no weights do");
        if (!entry.packed.empty())
            sorted.push_back(&entry);
    }
    std::sort(sorted.begin(), sorted.end(),
              [](const Entry* a, const Entry* b) { return a->packed.data() < b->packed.data(); });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
        const Entry &before = *sorted[i - 1], &entry = *sorted[i];
        if (before.packed.data() + before.packed.size() > entry.packed.data())
            failField(m_path, shownName(entry.name), "overlaps " + shownName(before.name));
    }
}

const ZipArchive::Entry* ZipArchive::find(std::string_view name) const {
    const auto found = m_index.find(name);
    return found == m_index.end() ? nullptr : &m_entries[found->second];
}

SharedBytes ZipArchive::contents(const Entry& entry) const {
    if (!entry.deflated)
        return {entry.packed, m_file};
    const auto unpacked = std::make_shared<std::vector<std::byte>>(entry.size);
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)  // negative: without zlib's own header
        failField(m_path, shownName(entry.name), "cannot be unpacked: out of memory");
    struct Closer {
        z_stream& stream;
        ~Closer() { inflateEnd(&stream); }
    } closer{stream};
    constexpr std::uint64_t kPart = 1u << 30;  // zlib counts in 32 bits
    std::uint64_t read = 0, written = 0;
    std::byte beyond{};  // takes what an entry holds past its size
    int status = Z_OK;
    while (status == Z_OK) {
        const std::uint64_t input = std::min<std::uint64_t>(entry.packed.size() - read, kPart);
        const std::uint64_t room = std::min<std::uint64_t>(entry.size - written, kPart);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(entry.packed.data() + read));
        stream.avail_in = static_cast<uInt>(input);
        stream.next_out = reinterpret_cast<Bytef*>(room > 0 ? unpacked->data() + written : &beyond);
        stream.avail_out = static_cast<uInt>(room > 0 ? room : 1);
        status = inflate(&stream, Z_NO_FLUSH);
        read += input - stream.avail_in;
        const std::uint64_t produced = (room > 0 ? room : 1) - stream.avail_out;
        if (room == 0 && produced > 0)
            status = Z_DATA_ERROR;
        else
            written += produced;
    }
    if (status != Z_STREAM_END || written != entry.size)
        failField(m_path, shownName(entry.name), "its compressed data are damaged");
    compareChecksum(entry, *unpacked);
    return {*unpacked, unpacked};
}

void ZipArchive::compareChecksum(const Entry& entry, std::span<const std::byte> contents) const {
    const uLong found = crc32_z(0, reinterpret_cast<const Bytef*>(contents.data()), contents.size());
    if (found != entry.checksum)
        failField(m_path, shownName(entry.name), "its contents do not match their checksum");
}

}  // namespace eigenscope
