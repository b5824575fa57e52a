// SPDX-License-Identifier: Apache-2.0
// What an op case sees while it runs: a backend, a stream, random inputs that depend on the seed alone, and
// arrays with guard bytes around them. The same case runs once on the backend under test and once on the
// reference backend; the outputs it declared are compared afterwards. One thread; owns the arrays, borrows
// the backend.
#pragma once

#include "kernels/api/backend.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace eigenscope::optest {

// How far an output may be from the reference's: both limits hold. An exact output has both zero.
struct Bound {
    double nmse = 0.0;     // sum (y - r)^2 / sum r^2
    double largest = 0.0;  // max |y - r| / rms(r)
    double scale = 0.0;    // rms(r) counts as at least this, for outputs that may be tiny by chance
};
inline constexpr Bound kExact{};

struct Output {
    std::string name;
    Bound bound;
    std::vector<double> values;
};

// A time budget instead of a single call: the op is repeated in rounds of as many calls as take 2 ms, so that
// waiting for a device does not count, and the time of a call that one in ten rounds stays below is kept:
// other work on the machine only ever adds.
struct Timing {
    bool enabled = false;
    double seconds_per_case = 0.3;
    double seconds = 0.0;
};

class OpRun {
public:
    OpRun(Backend& backend, int threads, std::uint64_t seed, bool misaligned);

    Backend& backend() { return m_backend; }
    Stream& stream() { return *m_stream; }
    Timing timing;

    // Random data, equal for equal seeds and call order.
    std::vector<float> normal(std::int64_t count, float deviation = 1.0f, float mean = 0.0f);
    std::vector<float> uniform(std::int64_t count, float low, float high);
    std::vector<TokenId> ids(std::int64_t count, std::int64_t below);

    // Inputs: copied to the device between guards; finish() fails if an op changed them.
    const float* input(const std::vector<float>& values);
    const void* input(const std::vector<float>& values, DType dtype);
    const TokenId* input(const std::vector<TokenId>& values);

    // Outputs that an op must fill: NaN (ids: the smallest number) until then, so that a skipped element
    // shows.
    float* output(const std::string& name, Bound bound, std::int64_t count);
    double* outputF64(const std::string& name, Bound bound, std::int64_t count);
    TokenId* outputIds(const std::string& name, std::int64_t count);
    // Outputs that an op updates.
    float* update(const std::string& name, Bound bound, const std::vector<float>& values);
    void* update(const std::string& name, Bound bound, const std::vector<float>& values, DType dtype);
    double* updateF64(const std::string& name, Bound bound, const std::vector<double>& values);
    // Bytes are compared exactly; as an input they must not change.
    void* updateBytes(const std::string& name, const std::vector<std::byte>& values);
    const void* inputBytes(const std::vector<std::byte>& values);
    std::vector<std::byte> bytes(std::int64_t count);  // random

    // Float32 arrays that an op may leave in any state: NaN, or what is given.
    float* scratch(std::int64_t count);
    float* scratch(const std::vector<float>& values);

    // For speed alone: `bytes` bytes of device memory filled with the block over and over. Not compared.
    void* filled(std::int64_t bytes, const std::vector<std::byte>& block);

    // Host values to be compared, of ops that work in host memory.
    void report(const std::string& name, Bound bound, std::vector<double> values);

    // Runs the op: once, or repeatedly when timing is enabled.
    void execute(const std::function<void()>& op);

    // A condition of its own, beside the comparison with the reference. Also fails when value is NaN.
    void demand(const std::string& what, double value, double limit);
    // The op must refuse: throw Error InvalidInput or Unsupported.
    void demandRefusal(const std::string& what, const std::function<void()>& op);

    // Downloads outputs, checks guards and that inputs are as they were.
    void finish();
    const std::vector<Output>& outputs() const { return m_outputs; }
    const std::vector<std::string>& failures() const { return m_failures; }

private:
    enum class Kind : std::uint8_t { F32, F16, BF16, F64, Ids, Bytes };
    struct Array {
        std::shared_ptr<Buffer> buffer;
        std::vector<std::byte> before;  // the whole buffer with its guards, as uploaded
        std::size_t begin = 0, bytes = 0;
        Kind kind = Kind::F32;
        int output = -1;  // index into m_outputs
        bool scratch = false;
    };

    void* place(const void* data, std::size_t bytes, Kind kind, const std::string& name, const Bound* bound);
    std::uint64_t next();
    static Kind kindOf(DType dtype);

    Backend& m_backend;
    std::unique_ptr<Stream> m_stream;
    std::uint64_t m_state;
    bool m_misaligned;
    std::vector<Array> m_arrays;
    std::vector<std::shared_ptr<Buffer>> m_filled;
    std::vector<Output> m_outputs;
    std::vector<std::string> m_failures;
};

}  // namespace eigenscope::optest
