// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/statistics.h"

#include "core/base/fail.h"
#include "core/calibration/metadata_reader.h"
#include "core/calibration/tables_file.h"
#include "core/checkpoint/safetensors.h"

#include <array>
#include <cmath>
#include <cstring>
#include <map>

namespace eigenscope {

namespace {

constexpr std::string_view kFormat = "eigenscope.statistics";
using Metadata = std::map<std::string, std::string>;

// The four kinds in file order.
struct Kind {
    std::string_view name;
    Moments LayerStatistics::*moments;
    bool per_query_head;
};
constexpr std::array<Kind, 4> kKinds{{{"keys", &LayerStatistics::keys, false},
                                      {"queries", &LayerStatistics::queries, true},
                                      {"values", &LayerStatistics::values, false},
                                      {"outputs", &LayerStatistics::outputs, true}}};

// What method `attention-aware` needs, in file order: all of them in every layer, or none.
struct AttentionPart {
    std::string_view name;
    int widths;  // axes of the head dimension after that of the heads
    std::vector<double>& (*of)(LayerStatistics&);
};
constexpr std::array<AttentionPart, 5> kAttentionParts{{
    {"logit_queries.gram", 2,
     [](LayerStatistics& s) -> std::vector<double>& { return s.logit_queries.gram; }},
    {"logit_keys.gram", 2, [](LayerStatistics& s) -> std::vector<double>& { return s.logit_keys.gram; }},
    {"logit_keys.sum", 1, [](LayerStatistics& s) -> std::vector<double>& { return s.logit_keys.sum; }},
    {"logit_weights", 0, [](LayerStatistics& s) -> std::vector<double>& { return s.logit_weights; }},
    {"projection", 2, [](LayerStatistics& s) -> std::vector<double>& { return s.projection; }},
}};
const std::vector<double>& valuesOf(const AttentionPart& part, const LayerStatistics& layer) {
    return part.of(const_cast<LayerStatistics&>(layer));
}
std::vector<std::int64_t> shapeOf(const AttentionPart& part, std::int64_t heads, std::int64_t width) {
    std::vector<std::int64_t> shape{heads};
    shape.resize(1 + static_cast<std::size_t>(part.widths), width);
    return shape;
}

// Moments of several heads side by side, in file order.
struct JointKind {
    std::string_view name;
    Moments LayerStatistics::*moments;
    bool attention;  // one of the attention moments: weights stand in for rows
};
constexpr std::array<JointKind, 3> kJointKinds{
    {{"joint_keys", &LayerStatistics::joint_keys, false},
     {"joint_values", &LayerStatistics::joint_values, false},
     {"joint_logit_keys", &LayerStatistics::joint_logit_keys, true}}};
bool holds(const JointKind& kind, int head_group, bool attention) {
    return head_group > 1 && (attention || !kind.attention);
}

std::string layerName(std::size_t layer, std::string_view part) {
    return "layers." + std::to_string(layer) + "." + std::string(part);
}
std::string tensorName(std::size_t layer, std::string_view kind, std::string_view part) {
    return layerName(layer, std::string(kind) + "." + std::string(part));
}
template <typename T>
std::span<const std::byte> bytesOf(const std::vector<T>& values) {
    return std::as_bytes(std::span<const T>(values));
}

Metadata describe(const Statistics& s) {
    Metadata metadata{{"format", std::string(kFormat)},
                      {"version", std::to_string(Statistics::kVersion)},
                      {"model_name", s.model_name},
                      {"model_fingerprint", s.model_fingerprint},
                      {"family", s.family},
                      {"rotary", s.rotary ? "true" : "false"},
                      {"layers", std::to_string(s.layers.size())},
                      {"query_heads", std::to_string(s.query_heads)},
                      {"kv_heads", std::to_string(s.kv_heads)},
                      {"head_dim", std::to_string(s.head_dim)},
                      {"head_group", std::to_string(s.head_group)},
                      {"tokens", std::to_string(s.tokens)},
                      {"calibration.text", s.calibration.text},
                      {"calibration.fingerprint", s.calibration.fingerprint},
                      {"calibration.samples", std::to_string(s.calibration.samples)},
                      {"calibration.sequence_length", std::to_string(s.calibration.sequence_length)},
                      {"calibration.seed", std::to_string(s.calibration.seed)},
                      {"calibration.average_samples", std::to_string(s.calibration.average_samples)}};
    if (!s.corpus.files.empty())
        metadata["corpus"] = toJson(s.corpus).dump();
    if (!s.identity.empty())
        metadata["calibration.identity"] = toJson(s.identity).dump();
    describeTables(s.tables, metadata);
    return metadata;
}

// What the format cannot express must not be written.
void checkConsistent(const Statistics& s) {
    bool fits = s.kv_heads > 0 && s.query_heads > 0 && s.query_heads % s.kv_heads == 0 && s.head_dim > 0;
    const auto heads = static_cast<std::size_t>(s.kv_heads), width = static_cast<std::size_t>(s.head_dim);
    for (const LayerStatistics& layer : s.layers) {
        for (const Kind& kind : kKinds) {
            const Moments& m = layer.*kind.moments;
            const std::int64_t rows =
                kind.per_query_head && fits ? s.tokens * (s.query_heads / s.kv_heads) : s.tokens;
            fits = fits && m.heads == s.kv_heads && m.width == s.head_dim && m.rows == rows &&
                   m.gram.size() == heads * width * width && m.sum.size() == heads * width;
        }
    }
    const bool attention = !s.layers.empty() && s.layers.front().hasAttentionMoments();
    for (const LayerStatistics& layer : s.layers) {
        for (const AttentionPart& part : kAttentionParts) {
            std::size_t count = attention ? heads : 0;
            for (int i = 0; i < part.widths; ++i)
                count *= width;
            fits = fits && valuesOf(part, layer).size() == count;
        }
    }
    fits = fits && s.head_group > 0 && s.kv_heads % s.head_group == 0;
    for (const LayerStatistics& layer : s.layers) {
        for (const JointKind& kind : kJointKinds) {
            const Moments& m = layer.*kind.moments;
            const bool held = fits && holds(kind, s.head_group, attention);
            const Moments expected =
                held ? Moments(s.kv_heads / s.head_group, s.head_group * s.head_dim) : Moments();
            fits = fits && m.heads == expected.heads && m.width == expected.width &&
                   m.gram.size() == expected.gram.size() && m.sum.size() == expected.sum.size();
        }
    }
    fits = fits && consistent(s.tables, s.layers.size());
    for (const auto& window : s.probe_windows)
        fits = fits && !window.empty() && window.size() == s.probe_windows.front().size();
    if (!fits)
        throw Error(ErrorCode::InvalidInput, "statistics: layers, heads, rows and windows do not agree");
}

// A Gram matrix is symmetric with no negative diagonal element, and |g_ij|^2 <= g_ii g_jj (Cauchy-Schwarz).
// The slack covers sums of products in another order, which differ in the last digits only.
void checkGram(const SafetensorsFile& file, const std::string& name, const Moments& moments) {
    constexpr double kSlack = 1e-9;
    const int n = moments.width;
    for (int head = 0; head < moments.heads; ++head) {
        const double* gram = moments.gramOf(head).data();
        const std::string where = "head " + std::to_string(head);
        for (int i = 0; i < n; ++i) {
            if (gram[i * n + i] < 0)
                failField(file.path(), name, where + " has a negative diagonal element, not a Gram matrix");
        }
        for (int i = 0; i < n; ++i) {
            for (int j = 0; j < i; ++j) {
                const double bound = std::sqrt(gram[i * n + i]) * std::sqrt(gram[j * n + j]);
                if (std::abs(gram[i * n + j] - gram[j * n + i]) > kSlack * bound)
                    failField(file.path(), name, where + " is not symmetric");
                if (std::abs(gram[i * n + j]) > (1 + kSlack) * bound)
                    failField(file.path(), name,
                              where + " is not a Gram matrix: an element exceeds its diagonal");
            }
        }
    }
}

// The moments of method `attention-aware`: all of them, or none.
void readAttention(const SafetensorsFile& file, const Statistics& s, std::size_t layers,
                   std::vector<LayerStatistics>& result) {
    bool any = false;
    for (std::size_t i = 0; i < layers; ++i) {
        for (const AttentionPart& part : kAttentionParts)
            any = any || file.find(layerName(i, part.name));
    }
    for (std::size_t i = 0; any && i < layers; ++i) {
        LayerStatistics& layer = result[i];
        for (const AttentionPart& part : kAttentionParts)
            part.of(layer) =
                readDoubles(file, layerName(i, part.name), shapeOf(part, s.kv_heads, s.head_dim));
        for (Moments* moments : {&layer.logit_queries, &layer.logit_keys}) {
            moments->heads = s.kv_heads;
            moments->width = s.head_dim;
        }
        checkGram(file, layerName(i, "logit_queries.gram"), layer.logit_queries);
        checkGram(file, layerName(i, "logit_keys.gram"), layer.logit_keys);
        Moments projection(s.kv_heads, s.head_dim);
        projection.gram = layer.projection;
        checkGram(file, layerName(i, "projection"), projection);
        for (double weight : layer.logit_weights) {
            if (weight < 0)
                failField(file.path(), layerName(i, "logit_weights"), "holds a negative weight");
        }
    }
}

void readJoint(const SafetensorsFile& file, Statistics& s) {
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        for (const JointKind& kind : kJointKinds) {
            if (!holds(kind, s.head_group, s.layers[i].hasAttentionMoments()))
                continue;
            const std::int64_t groups = s.kv_heads / s.head_group,
                               width = std::int64_t{s.head_group} * s.head_dim;
            const std::string name = tensorName(i, kind.name, "gram");
            Moments& moments = s.layers[i].*kind.moments;
            moments.heads = static_cast<int>(groups);
            moments.width = static_cast<int>(width);
            moments.rows = kind.attention ? 0 : s.tokens;
            moments.gram = readDoubles(file, name, {groups, width, width});
            moments.sum = readDoubles(file, tensorName(i, kind.name, "sum"), {groups, width});
            checkGram(file, name, moments);
        }
    }
}

std::vector<std::vector<TokenId>> readWindows(const SafetensorsFile& file) {
    std::vector<std::vector<TokenId>> windows;
    const TensorRecord* record = file.find("probe_windows");
    if (!record)
        return windows;
    if (record->dtype != FileDType::I32 || record->shape.size() != 2 || record->shape[1] < 1)
        failField(file.path(), "probe_windows", "expected I32 [windows, length]");
    const auto length = static_cast<std::size_t>(record->shape[1]);
    for (std::int64_t i = 0; i < record->shape[0]; ++i) {
        std::vector<TokenId> window(length);
        std::memcpy(window.data(),
                    record->bytes.data() + static_cast<std::size_t>(i) * length * sizeof(TokenId),
                    length * sizeof(TokenId));
        for (TokenId id : window) {
            if (id < 0)
                failField(file.path(), "probe_windows", "holds a negative token id");
        }
        windows.push_back(std::move(window));
    }
    return windows;
}

Statistics readDescription(const SafetensorsFile& file) {
    const MetadataReader metadata(file);
    const auto format = file.metadata().find("format");
    if (format == file.metadata().end() || format->second != kFormat)
        failInput(file.path(),
                  "is not a statistics file: its metadata has no format '" + std::string(kFormat) + "'");
    metadata.integer<int>("version", Statistics::kVersion, Statistics::kVersion);
    constexpr std::int64_t kMany = std::int64_t{1} << 53;
    Statistics s;
    s.model_name = metadata.text("model_name");
    s.model_fingerprint = metadata.text("model_fingerprint");
    s.family = metadata.text("family");
    s.rotary = metadata.boolean("rotary");
    s.kv_heads = metadata.integer<int>("kv_heads", 1, 1 << 16);
    s.query_heads = metadata.integer<int>("query_heads", 1, 1 << 16);
    if (s.query_heads % s.kv_heads != 0)
        failField(file.path(), "__metadata__.query_heads", "expected a multiple of kv_heads");
    s.head_dim = metadata.integer<int>("head_dim", 1, 1 << 16);
    if (metadata.has("head_group"))
        s.head_group = metadata.integer<int>("head_group", 1, s.kv_heads);
    if (s.kv_heads % s.head_group != 0)
        failField(file.path(), "__metadata__.head_group", "expected a divisor of kv_heads");
    // Rows of queries are counted once a query head, and must stay exact in a double.
    s.tokens = metadata.integer<std::int64_t>("tokens", 1, kMany / (s.query_heads / s.kv_heads));
    s.calibration.text = metadata.text("calibration.text");
    s.calibration.fingerprint = metadata.text("calibration.fingerprint");
    s.calibration.samples = metadata.integer<std::int64_t>("calibration.samples", 1, kMany);
    s.calibration.sequence_length = metadata.integer<std::int64_t>("calibration.sequence_length", 1, kMany);
    s.calibration.seed = metadata.integer<std::uint64_t>("calibration.seed", 0, ~std::uint64_t{0});
    if (metadata.has("calibration.average_samples"))
        s.calibration.average_samples =
            metadata.integer<std::int64_t>("calibration.average_samples", 1, kMany);
    if (metadata.has("corpus"))
        s.corpus = metadata.json("corpus", readCorpusSummary);
    if (metadata.has("calibration.identity"))
        s.identity = metadata.json("calibration.identity", readRunIdentity);
    return s;
}

// Of every tensor, in the order in which saveStatistics() writes them.
std::vector<TensorSpec> specsOf(const Statistics& s) {
    const std::int64_t heads = s.kv_heads, width = s.head_dim;
    std::vector<TensorSpec> specs;
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        for (const Kind& kind : kKinds) {
            specs.push_back({tensorName(i, kind.name, "gram"), FileDType::F64, {heads, width, width}});
            specs.push_back({tensorName(i, kind.name, "sum"), FileDType::F64, {heads, width}});
        }
        for (const AttentionPart& part : kAttentionParts) {
            if (s.layers[i].hasAttentionMoments())
                specs.push_back({layerName(i, part.name), FileDType::F64, shapeOf(part, heads, width)});
        }
    }
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        for (const JointKind& kind : kJointKinds) {
            if (!holds(kind, s.head_group, s.layers[i].hasAttentionMoments()))
                continue;
            const std::int64_t groups = heads / s.head_group, joint = width * s.head_group;
            specs.push_back({tensorName(i, kind.name, "gram"), FileDType::F64, {groups, joint, joint}});
            specs.push_back({tensorName(i, kind.name, "sum"), FileDType::F64, {groups, joint}});
        }
    }
    addTableSpecs(s.tables, specs);
    if (!s.probe_windows.empty() && !s.probe_windows.front().empty())
        specs.push_back({"probe_windows",
                         FileDType::I32,
                         {static_cast<std::int64_t>(s.probe_windows.size()),
                          static_cast<std::int64_t>(s.probe_windows.front().size())}});
    return specs;
}

}  // namespace

Moments::Moments(int heads_, int width_)
    : heads(heads_),
      width(width_),
      gram(static_cast<std::size_t>(heads_) * static_cast<std::size_t>(width_) *
           static_cast<std::size_t>(width_)),
      sum(static_cast<std::size_t>(heads_) * static_cast<std::size_t>(width_)) {}

std::span<const double> Moments::gramOf(int head) const {
    const auto size = static_cast<std::size_t>(width) * static_cast<std::size_t>(width);
    return std::span<const double>(gram).subspan(static_cast<std::size_t>(head) * size, size);
}

std::span<const double> Moments::sumOf(int head) const {
    const auto size = static_cast<std::size_t>(width);
    return std::span<const double>(sum).subspan(static_cast<std::size_t>(head) * size, size);
}

void saveStatistics(const Statistics& statistics, const std::filesystem::path& file) {
    JobContext silent;
    saveStatistics(silent, statistics, file);
}

void saveStatistics(JobContext& job, const Statistics& s, const std::filesystem::path& file) {
    checkConsistent(s);
    std::vector<TokenId> windows;
    for (const auto& window : s.probe_windows)
        windows.insert(windows.end(), window.begin(), window.end());
    std::vector<TensorSpec> specs = specsOf(s);
    const auto total = static_cast<std::int64_t>(specs.size());
    std::int64_t written = 0;
    SafetensorsWriter writer(file, std::move(specs), describe(s));
    const auto write = [&](const std::string& name, std::span<const std::byte> bytes) {
        job.checkCancelled();
        job.progress("writing statistics", written++, total);
        writer.write(name, bytes);
    };
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        for (const Kind& kind : kKinds) {
            const Moments& moments = s.layers[i].*kind.moments;
            write(tensorName(i, kind.name, "gram"), bytesOf(moments.gram));
            write(tensorName(i, kind.name, "sum"), bytesOf(moments.sum));
        }
        for (const AttentionPart& part : kAttentionParts) {
            if (s.layers[i].hasAttentionMoments())
                write(layerName(i, part.name), bytesOf(valuesOf(part, s.layers[i])));
        }
    }
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        for (const JointKind& kind : kJointKinds) {
            if (!holds(kind, s.head_group, s.layers[i].hasAttentionMoments()))
                continue;
            const Moments& moments = s.layers[i].*kind.moments;
            write(tensorName(i, kind.name, "gram"), bytesOf(moments.gram));
            write(tensorName(i, kind.name, "sum"), bytesOf(moments.sum));
        }
    }
    writeTables(s.tables, writer);
    if (!windows.empty())
        write("probe_windows", bytesOf(windows));
    job.checkCancelled();
    job.progress("writing statistics", total, total);
    writer.commit();
}

Statistics loadStatistics(const std::filesystem::path& path) {
    const SafetensorsFile file(path);
    Statistics s = readDescription(file);
    const auto layers = MetadataReader(file).integer<std::size_t>("layers", 1, 1 << 16);
    const std::int64_t heads = s.kv_heads, width = s.head_dim, group = s.query_heads / s.kv_heads;
    for (std::size_t i = 0; i < layers; ++i) {
        LayerStatistics layer;
        for (const Kind& kind : kKinds) {
            Moments moments;
            moments.heads = s.kv_heads;
            moments.width = s.head_dim;
            moments.rows = kind.per_query_head ? s.tokens * group : s.tokens;
            const std::string name = tensorName(i, kind.name, "gram");
            moments.gram = readDoubles(file, name, {heads, width, width});
            moments.sum = readDoubles(file, tensorName(i, kind.name, "sum"), {heads, width});
            checkGram(file, name, moments);
            layer.*kind.moments = std::move(moments);
        }
        s.layers.push_back(std::move(layer));
    }
    readAttention(file, s, layers, s.layers);
    readJoint(file, s);
    s.probe_windows = readWindows(file);
    s.tables = readTables(file, layers, s.head_dim, s.head_group);
    return s;
}

}  // namespace eigenscope
