// SPDX-License-Identifier: Apache-2.0
#include "tests/core/pytorch_support.h"

#include <zlib.h>

namespace eigenscope::test {

namespace {

std::string deflated(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    std::string result(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(result.data());
    stream.avail_out = static_cast<uInt>(result.size());
    deflate(&stream, Z_FINISH);
    result.resize(stream.total_out);
    deflateEnd(&stream);
    return result;
}

}  // namespace

std::string little(std::uint64_t number, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i)
        text += static_cast<char>((number >> (8 * i)) & 0xff);
    return text;
}

std::string zipOf(const std::vector<ZipPart>& parts, const ZipEnd& end) {
    constexpr std::uint32_t kIn64 = 0xffffffff;
    std::string file, directory;
    for (const ZipPart& part : parts) {
        const std::string data = part.deflate ? deflated(part.contents) : part.contents;
        const std::uint64_t local = part.offset.value_or(static_cast<std::uint32_t>(file.size()));
        const std::uint64_t packed = part.packed.value_or(static_cast<std::uint32_t>(data.size()));
        const std::uint64_t size = part.size.value_or(static_cast<std::uint32_t>(part.contents.size()));
        const std::uint64_t checksum = part.checksum.value_or(
            static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(part.contents.data()),
                                             static_cast<uInt>(part.contents.size()))));
        const std::string name = part.local_name.value_or(part.name);
        const std::string method = little(part.method.value_or(part.deflate ? 8 : 0), 2);
        // The local header's sizes and checksum are not read: archives written as streams have none there.
        file += "PK\x03\x04" + little(20, 2) + little(part.flags, 2) + method + std::string(16, '\0') +
                little(name.size(), 2) + little(0, 2) + name + data;
        std::string extra = part.extra;
        if (end.zip64)
            extra += little(1, 2) + little(24, 2) + little(size, 8) + little(packed, 8) + little(local, 8);
        const auto narrow = [&](std::uint64_t number) { return little(end.zip64 ? kIn64 : number, 4); };
        directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + little(part.flags, 2) + method +
                     std::string(4, '\0') + little(checksum, 4) + narrow(packed) + narrow(size) +
                     little(part.name.size(), 2) + little(extra.size(), 2) + std::string(10, '\0') +
                     narrow(local) + part.name + extra;
    }
    const std::uint64_t entries = end.entries.value_or(static_cast<std::uint16_t>(parts.size()));
    const std::uint64_t size = end.directory_size.value_or(static_cast<std::uint32_t>(directory.size()));
    const std::uint64_t offset = end.directory_offset.value_or(static_cast<std::uint32_t>(file.size()));
    file += directory;
    if (end.zip64) {
        const std::uint64_t at = file.size();
        file += "PK\x06\x06" + little(44, 8) + little(45, 2) + little(45, 2) + std::string(8, '\0') +
                little(entries, 8) + little(entries, 8) + little(size, 8) + little(offset, 8);
        file += "PK\x06\x07" + little(0, 4) + little(at, 8) + little(1, 4);
    }
    const std::uint64_t disk = end.disk.value_or(0);
    return file + "PK\x05\x06" + little(disk, 2) + little(disk, 2) +
           (end.zip64 ? std::string(12, '\xff')
                      : little(entries, 2) + little(entries, 2) + little(size, 4) + little(offset, 4)) +
           little(end.comment.size(), 2) + end.comment;
}

std::string pickledText(std::string_view text) { return "X" + little(text.size(), 4) + std::string(text); }

std::string pickledInteger(std::int64_t number) {
    if (number >= INT32_MIN && number <= INT32_MAX)
        return "J" + little(static_cast<std::uint64_t>(number), 4);
    return "\x8a\x08" + little(static_cast<std::uint64_t>(number), 8);
}

std::string pickledTuple(const std::vector<std::int64_t>& numbers) {
    std::string text = "(";
    for (const std::int64_t number : numbers)
        text += pickledInteger(number);
    return text + "t";
}

std::string pickledGlobal(std::string_view module, std::string_view name) {
    return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}

std::string pickledTensor(const PickledTensor& tensor) {
    return pickledGlobal("torch._utils", "_rebuild_tensor_v2") + "((" + pickledText("storage") +
           pickledGlobal("torch", tensor.storage) + pickledText(tensor.key) + pickledText("cpu") +
           pickledInteger(tensor.count) + "tQ" + pickledInteger(tensor.offset) + pickledTuple(tensor.shape) +
           pickledTuple(tensor.strides) + "\x89" + pickledGlobal("collections", "OrderedDict") + ")RtR";
}

std::string pickledDictionary(const std::vector<std::pair<std::string, std::string>>& entries) {
    std::string text = "\x80\x02}(";
    for (const auto& [name, value] : entries)
        text += pickledText(name) + value;
    return text + "u.";
}

std::string pytorchFile(const std::string& pickle, const std::string& storage) {
    return zipOf({{"m/data.pkl", pickle}, {"m/data/0", storage}, {"m/version", "3\n"}});
}

}  // namespace eigenscope::test
