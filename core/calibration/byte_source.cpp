// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/byte_source.h"

#include "core/base/fail.h"
#include "core/base/regular_file.h"

#include <algorithm>
#include <span>
#include <vector>

#include <zlib.h>

namespace eigenscope {

namespace {

constexpr std::size_t kBlock = std::size_t{1} << 18;
// gzip reaches about 1000 : 1 on nothing but repetition, and 3 to 10 on text. What is still beyond 250 after
// this much is no text worth the time.
constexpr std::uint64_t kBombStart = std::uint64_t{1} << 30, kBombRatio = 250;

}  // namespace

struct ByteSource::State {
    explicit State(const std::filesystem::path& path) : input(path), file(path) {}

    RegularFile input;
    std::filesystem::path file;
    std::int64_t consumed = 0;
    bool compressed = false, ended = false;  // ended: the file, for a compressed one its last member
    std::vector<unsigned char> block = std::vector<unsigned char>(kBlock);
    std::size_t begin = 0, end = 0;  // of what is unread in the block
    z_stream stream{};
    bool stream_open = false, member_open = false;
    std::uint64_t unpacked = 0;

    ~State() {
        if (stream_open)
            inflateEnd(&stream);
    }

    // False at the end of the file.
    bool refill() {
        if (begin < end)
            return true;
        begin = 0;
        end = input.read(std::as_writable_bytes(std::span(block)));
        consumed += static_cast<std::int64_t>(end);
        return end > 0;
    }

    void openStream() {
        // 16: a gzip header is expected.
        if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
            failInput(file, "cannot be unpacked: out of memory");
        stream_open = member_open = true;
    }

    // Between members: another one, padding with zeros, or the end.
    void startMember() {
        while (refill() && block[begin] == 0)
            ++begin;
        if (!refill()) {
            ended = true;
            return;
        }
        if (block[begin] != 0x1f)
            failInput(file, "has something else behind its gzip data");
        inflateReset(&stream);
        member_open = true;
    }

    std::size_t unpack(char* target, std::size_t size) {
        std::size_t done = 0;
        while (done < size && !ended) {
            if (!member_open) {
                startMember();
                continue;
            }
            if (!refill())
                failInput(file, "ends within its gzip data");
            stream.next_in = block.data() + begin;
            stream.avail_in = static_cast<uInt>(end - begin);
            stream.next_out = reinterpret_cast<Bytef*>(target + done);
            stream.avail_out = static_cast<uInt>(std::min<std::size_t>(size - done, kBlock));
            const uInt room = stream.avail_out;
            const int status = inflate(&stream, Z_NO_FLUSH);
            begin = end - stream.avail_in;
            done += room - stream.avail_out;
            unpacked += room - stream.avail_out;
            if (status == Z_STREAM_END)
                member_open = false;
            else if (status != Z_OK && status != Z_BUF_ERROR)
                failInput(file, "its gzip data are damaged (after " + std::to_string(unpacked) + " bytes)");
            if (unpacked > kBombStart && unpacked / kBombRatio > static_cast<std::uint64_t>(consumed))
                failInput(file, "unpacks to more than " + std::to_string(kBombRatio) +
                                    " times its size: not a text");
        }
        return done;
    }

    std::size_t copy(char* target, std::size_t size) {
        std::size_t done = 0;
        while (done < size && refill()) {
            const std::size_t count = std::min(size - done, end - begin);
            std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(begin), count, target + done);
            begin += count;
            done += count;
        }
        return done;
    }
};

ByteSource::ByteSource(const std::filesystem::path& file) : m_state(std::make_unique<State>(file)) {
    State& s = *m_state;
    if (s.refill() && s.end >= 2 && s.block[0] == 0x1f && s.block[1] == 0x8b) {
        s.compressed = true;
        s.openStream();
    }
}

ByteSource::~ByteSource() = default;

std::size_t ByteSource::read(char* target, std::size_t size) {
    return m_state->compressed ? m_state->unpack(target, size) : m_state->copy(target, size);
}

bool ByteSource::compressed() const { return m_state->compressed; }
std::int64_t ByteSource::consumed() const { return m_state->consumed; }
std::int64_t ByteSource::fileBytes() const { return static_cast<std::int64_t>(m_state->input.size()); }

}  // namespace eigenscope
