// SPDX-License-Identifier: Apache-2.0
// How fast a checkpoint opens and its layers stream, against what the machine can do:
//     eigenscope-streaming-benchmark CHECKPOINT
// prints one JSON object. Opening is from a dropped page cache and again; streaming asks for every part in
// order and computes nothing, cold and warm; beside it the same files are read in order by one thread into
// one buffer (the disk, then the page cache), and one buffer is copied into another (memory).
#include "core/base/process_memory.h"
#include "core/model/model.h"
#include "core/model/streamed_weights.h"
#include "kernels/cpu/cpu_backend.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using namespace eigenscope;

namespace {

using Clock = std::chrono::steady_clock;

template <typename Work>
double secondsOf(const Work& work) {
    const auto start = Clock::now();
    work();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Written pages are in the page cache only once they are on the disk; then they can be dropped.
void drop(const Checkpoint& checkpoint) {
    for (const auto& shard : checkpoint.shards()) {
        const int file = open(shard.c_str(), O_RDONLY | O_CLOEXEC);
        fdatasync(file);
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
}

void readFiles(const Checkpoint& checkpoint, std::vector<std::byte>& buffer) {
    for (const auto& shard : checkpoint.shards()) {
        const auto file = InputFile::open(shard);
        for (std::uint64_t at = 0; at < file->size(); at += buffer.size())
            file->read(at,
                       std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), file->size() - at)));
    }
}

void stream(const Model& model) {
    (void)model.embedding();
    for (int layer = 0; layer < model.config.layers; ++layer)
        (void)model.layer(layer);
    (void)model.head();
}

double copyBandwidth() {
    std::vector<std::byte> from(std::size_t{1} << 29, std::byte{1}), to(from.size());
    double best = 0;
    for (int i = 0; i < 5; ++i)
        best = std::max(best, static_cast<double>(from.size()) /
                                  secondsOf([&] { std::memcpy(to.data(), from.data(), from.size()); }));
    return best;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: eigenscope-streaming-benchmark CHECKPOINT\n";
        return 2;
    }
    JobContext job;
    const auto backend = createCpuBackend();
    nlohmann::ordered_json json;
    std::shared_ptr<const Checkpoint> checkpoint;
    std::shared_ptr<const Model> model;
    const auto open = [&] {
        checkpoint = Checkpoint::open(argv[1], Checkpoint::Access::Headers);
        model = streamModel(job, backend, checkpoint);
    };
    open();
    const auto bytes = static_cast<double>(checkpoint->weightBytes());
    json["weight_bytes"] = checkpoint->weightBytes();
    drop(*checkpoint);
    json["open_cold_seconds"] = secondsOf(open);
    json["open_warm_seconds"] = secondsOf(open);
    const std::int64_t before = residentBytes();
    std::vector<std::byte> buffer(std::size_t{16} << 20);
    drop(*checkpoint);
    const double disk_before = bytes / secondsOf([&] { readFiles(*checkpoint, buffer); });
    drop(*checkpoint);
    json["stream_cold_bytes_per_second"] = bytes / secondsOf([&] { stream(*model); });
    json["stream_warm_bytes_per_second"] = bytes / secondsOf([&] { stream(*model); });
    json["resident_before_bytes"] = before;
    json["stated_weight_bytes"] = model->source->hostBytes();
    json["peak_resident_bytes"] = peakResidentBytes();
    drop(*checkpoint);
    // The better of one before and one after: disks of virtual machines vary.
    json["disk_bytes_per_second"] =
        std::max(disk_before, bytes / secondsOf([&] { readFiles(*checkpoint, buffer); }));
    json["page_cache_bytes_per_second"] = bytes / secondsOf([&] { readFiles(*checkpoint, buffer); });
    json["memory_copy_bytes_per_second"] = copyBandwidth();
    std::cout << json.dump(2) << "\n";
    return 0;
}
