// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/dummy_weights.h"

#include "core/base/fail.h"
#include "core/checkpoint/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace eigenscope {

namespace {

constexpr std::size_t kPage = 4096;
// Places enough for small matrices to differ, more than the last-level cache of most processors, and quick to
// fill.
constexpr std::size_t kLeastPool = std::size_t{1} << 20;
constexpr std::size_t kMostPool = std::size_t{256} << 20;
constexpr double kDeviation = 0.02;

std::size_t roundUp(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

std::size_t pageSize() { return std::max(kPage, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))); }

// splitmix64 (S. Vigna): a good mix of a counter's bits.
std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

std::uint64_t hashOf(std::string_view text) {
    std::uint64_t hash = 0;
    for (const char c : text)
        hash = mix(hash ^ static_cast<unsigned char>(c));
    return hash;
}

// Nearly normal: the sum of four bytes, of deviation sqrt(4 (256^2 - 1) / 12) = 147.8.
template <typename Element>
void fillNormal(std::byte* pool, std::size_t bytes, DType dtype) {
    std::array<Element, 1021> values{};
    for (std::size_t sum = 0; sum < values.size(); ++sum) {
        const double value = (static_cast<double>(sum) - 510.0) / 147.8 * kDeviation;
        storeFromF32(values.data(), dtype, static_cast<std::int64_t>(sum), static_cast<float>(value));
    }
    auto* element = reinterpret_cast<Element*>(pool);
    const auto sumOf = [](std::uint64_t bits) {
        const std::uint64_t pairs = (bits & 0x00ff00ffu) + ((bits >> 8) & 0x00ff00ffu);
        return static_cast<std::size_t>((pairs & 0xffffu) + (pairs >> 16));
    };
    const std::size_t count = bytes / sizeof(Element);
    for (std::size_t i = 0; i + 1 < count; i += 2) {
        const std::uint64_t bits = mix(i);
        element[i] = values[sumOf(bits & 0xffffffffu)];
        element[i + 1] = values[sumOf(bits >> 32)];
    }
}

}  // namespace

std::shared_ptr<DummyWeights> DummyWeights::create(const std::vector<DummyTensor>& tensors, FileDType dtype,
                                                   const std::filesystem::path& file) {
    std::shared_ptr<DummyWeights> weights(new DummyWeights);
    const std::size_t page = pageSize();
    weights->m_dtype = engineDType(dtype).value();
    std::size_t largest = page;
    for (const DummyTensor& tensor : tensors) {
        TensorRecord record{tensor.name, dtype, tensor.shape, {}, nullptr, file};
        const std::size_t bytes = TensorSpec{tensor.name, dtype, tensor.shape}.bytes();
        if (tensor.fill == DummyTensor::Fill::Normal) {
            largest = std::max(largest, roundUp(bytes, page));
            weights->m_region_bytes += roundUp(bytes, page);
        } else {
            const bool ones = tensor.fill == DummyTensor::Fill::Ones;
            std::vector<std::byte>& values = ones ? weights->m_ones : weights->m_zeros;
            values.resize(std::max(values.size(), bytes));
        }
        weights->m_records.push_back(std::move(record));
    }
    weights->m_pool_bytes = std::clamp(largest, kLeastPool, kMostPool);
    weights->m_pool_file = ::memfd_create("eigenscope-dummy-weights", MFD_CLOEXEC);
    if (weights->m_pool_file < 0 ||
        ::ftruncate(weights->m_pool_file, static_cast<off_t>(weights->m_pool_bytes)) != 0)
        failIo(file, "make a pool of random numbers", errno);
    // One mapping keeps the addresses together; the pool's parts replace it piece by piece.
    void* region = ::mmap(nullptr, std::max(weights->m_region_bytes, page), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void* pool =
        ::mmap(nullptr, weights->m_pool_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, weights->m_pool_file, 0);
    if (region != MAP_FAILED)
        weights->m_region = static_cast<std::byte*>(region);
    if (pool != MAP_FAILED)
        weights->m_pool = static_cast<std::byte*>(pool);
    if (region == MAP_FAILED || pool == MAP_FAILED)
        throw Error(ErrorCode::OutOfMemory, file.string() + ": no addresses for " +
                                                std::to_string(weights->m_region_bytes) +
                                                " bytes of weights");
    std::byte* at = weights->m_region;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        TensorRecord& record = weights->m_records[i];
        const std::size_t bytes = TensorSpec{record.name, dtype, record.shape}.bytes();
        if (tensors[i].fill == DummyTensor::Fill::Normal) {
            weights->mapMatrix(at, roundUp(bytes, page), weights->firstPage(record.name));
            record.bytes = {at, bytes};
            at += roundUp(bytes, page);
            continue;
        }
        const bool ones = tensors[i].fill == DummyTensor::Fill::Ones;
        record.bytes = std::span<const std::byte>(ones ? weights->m_ones : weights->m_zeros).first(bytes);
    }
    const auto ones = static_cast<std::int64_t>(weights->m_ones.size() / sizeOf(dtype));
    for (std::int64_t k = 0; k < ones; ++k)
        storeFromF32(weights->m_ones.data(), weights->m_dtype, k, 1.0f);
    return weights;
}

// [at, at + bytes) becomes the pool from `first_page` on, and from its beginning again whenever it ends.
void DummyWeights::mapMatrix(std::byte* at, std::size_t bytes, std::size_t first_page) {
    std::size_t offset = first_page * pageSize();
    while (bytes > 0) {
        const std::size_t part = std::min(bytes, m_pool_bytes - offset);
        if (::mmap(at, part, PROT_READ, MAP_SHARED | MAP_FIXED, m_pool_file, static_cast<off_t>(offset)) ==
            MAP_FAILED)
            throw Error(ErrorCode::OutOfMemory,
                        "no addresses for random weights: " + std::string(std::strerror(errno)));
        at += part;
        bytes -= part;
        offset = 0;
    }
}

DummyWeights::~DummyWeights() {
    if (m_region)
        ::munmap(m_region, std::max(m_region_bytes, pageSize()));
    if (m_pool)
        ::munmap(m_pool, m_pool_bytes);
    if (m_pool_file >= 0)
        ::close(m_pool_file);
}

std::vector<TensorRecord> DummyWeights::records() const {
    std::vector<TensorRecord> records = m_records;
    for (TensorRecord& record : records)
        record.owner = shared_from_this();
    return records;
}

void DummyWeights::read(const TensorRecord& tensor, std::uint64_t begin, std::span<std::byte> to) const {
    fill();
    const std::byte* from = tensor.bytes.data();
    if (from < m_region || from >= m_region + m_region_bytes) {  // a vector
        std::memcpy(to.data(), from + begin, to.size());
        return;
    }
    std::size_t offset = firstPage(tensor.name) * pageSize() + static_cast<std::size_t>(begin);
    while (!to.empty()) {
        offset %= m_pool_bytes;
        const std::size_t part = std::min(to.size(), m_pool_bytes - offset);
        std::memcpy(to.data(), m_pool + offset, part);
        to = to.subspan(part);
        offset += part;
    }
}

std::size_t DummyWeights::firstPage(const std::string& name) const {
    return hashOf(name) % (m_pool_bytes / pageSize());
}

void DummyWeights::fill() const {
    std::call_once(m_filled, [this] {
        if (m_dtype == DType::F32)
            fillNormal<std::uint32_t>(m_pool, m_pool_bytes, m_dtype);
        else
            fillNormal<std::uint16_t>(m_pool, m_pool_bytes, m_dtype);
    });
}

}  // namespace eigenscope
