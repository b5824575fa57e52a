// SPDX-License-Identifier: Apache-2.0
// Reading ZIP archives in place (PKWARE APPNOTE.TXT 6.3.10: 4.3.7 local header, 4.3.12 central directory,
// 4.3.14 to 4.3.16 end records, 4.5.3 ZIP64): the file is mapped, so that stored entries are handed out
// where they lie, and deflated ones (RFC 1951) are inflated when asked for. Checked when it is opened: every
// record inside the file, both headers of an entry agreeing, entries apart from each other, names unique,
// and a bound on what the deflated entries unpack to. Encrypted, split and otherwise compressed archives are
// refused. Immutable after opening; any thread.
#pragma once

#include "core/checkpoint/mapped_file.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

// Memory that a file makes the program take beyond its own size stays within this: weights hardly compress,
// and the constant leaves room for small files of zeros.
std::uint64_t unpackedLimit(std::uint64_t file_size);

// Bytes and what keeps them alive.
struct SharedBytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};

class ZipArchive {
public:
    static bool looksLikeOne(std::span<const std::byte> file);  // by its first bytes

    ZipArchive(const std::filesystem::path& path, std::shared_ptr<const MappedFile> file);

    struct Entry {
        std::string name;
        std::span<const std::byte> packed;  // in the mapped file
        std::uint64_t size = 0;             // unpacked
        std::uint32_t checksum = 0;         // CRC-32 of the unpacked bytes
        bool deflated = false;
    };
    const std::vector<Entry>& entries() const { return m_entries; }  // in the directory's order
    const Entry* find(std::string_view name) const;
    // A stored entry lies in the mapped file and its checksum is not compared: that would read all of it.
    SharedBytes contents(const Entry& entry) const;
    void compareChecksum(const Entry& entry, std::span<const std::byte> contents) const;

private:
    void readDirectory();
    void checkEntries() const;

    std::filesystem::path m_path;
    std::shared_ptr<const MappedFile> m_file;
    std::vector<Entry> m_entries;
    std::map<std::string, std::size_t, std::less<>> m_index;
};

}  // namespace eigenscope
