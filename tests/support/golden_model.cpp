// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden_model.h"

#include "tests/support/id_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace eigenscope::test {

namespace {

template <typename T>
std::vector<T> valuesOf(const TensorRecord& record) {
    std::vector<T> values(record.bytes.size() / sizeof(T));
    std::memcpy(values.data(), record.bytes.data(), record.bytes.size());
    return values;
}

}  // namespace

double GoldenModel::relativeError(const std::vector<float>& found) const {
    if (found.size() != logits.size()) {
        return std::numeric_limits<double>::infinity();
    }
    double worst = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const double difference = std::abs(double{found[i]} - double{logits[i]});
        worst =
            std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
    }
    const auto [low, high] = std::ranges::minmax(logits);
    return worst / (double{high} - double{low});
}

std::filesystem::path goldenModelDirectory(const std::string& name) {
    return std::filesystem::path(EIGENSCOPE_SOURCE_DIR) / "tests/golden/models" / name;
}

std::vector<std::string> goldenModelNames() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(goldenModelDirectory(""))) {
        if (entry.is_directory() && std::filesystem::exists(entry.path() / "expected.safetensors")) {
            names.push_back(entry.path().filename().string());
        }
    }
    std::ranges::sort(names);
    return names;
}

GoldenModel openGoldenModel(const std::string& name, std::shared_ptr<Backend> backend) {
    GoldenModel golden;
    JobContext job;
    OpenModel& open = golden.open;
    open.name = name;
    open.backend = std::move(backend);
    open.checkpoint = Checkpoint::open(goldenModelDirectory(name));
    open.model = loadModel(job, *open.backend, *open.checkpoint);
    open.tokenizer = std::make_shared<IdTokenizer>(open.model->config.vocab_size);
    const SafetensorsFile expected(goldenModelDirectory(name) / "expected.safetensors");
    golden.ids = valuesOf<TokenId>(expected.at("ids"));
    golden.logits = valuesOf<float>(expected.at("logits"));
    golden.prompt = valuesOf<TokenId>(expected.at("prompt"));
    golden.greedy = valuesOf<TokenId>(expected.at("greedy"));
    if (expected.find("long.ids") != nullptr) {
        golden.long_ids = valuesOf<TokenId>(expected.at("long.ids"));
        golden.long_logits = valuesOf<float>(expected.at("long.logits"));
    }
    for (const TensorRecord& record : expected.tensors()) {
        if (record.name.starts_with("trace.")) {
            golden.trace[record.name.substr(6)] = valuesOf<float>(record);
        }
    }
    return golden;
}

}  // namespace eigenscope::test
