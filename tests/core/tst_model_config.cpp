// SPDX-License-Identifier: Apache-2.0
// Reading config.json: what its settings mean, and what is refused and with which words.
#include "core/model/model_config.h"
#include "core/model/positions.h"
#include "kernels/api/error.h"
#include "tests/support/error_text.h"
#include "tests/support/random_checkpoint.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

std::string refusal(Json config, std::string_view key, Json value) {
    config[Json::json_pointer(std::string(key))] = std::move(value);
    return errorOf([&] { readModelConfig(config, "config.json"); });
}

Json without(Json config, const std::string& key) {
    config.erase(key);
    return config;
}

Json lowRank(std::vector<int> keys, std::vector<int> values) {
    return {{"version", 1},
            {"method", "eigen"},
            {"key_ranks", std::move(keys)},
            {"value_ranks", std::move(values)}};
}

}  // namespace

class TestModelConfig : public QObject {
    Q_OBJECT
private slots:
    void readsLlama() {
        Json json = tinyLlamaConfig();
        json["num_key_value_heads"] = 1;
        json["head_dim"] = 16;
        json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5e5}};
        const ModelConfig config = readModelConfig(json, "config.json");
        QCOMPARE(config.family, "llama");
        QCOMPARE(config.architecture, "LlamaForCausalLM");
        QCOMPARE(config.layers, 2);
        QCOMPARE(config.query_heads, 4);
        QCOMPARE(config.kv_heads, 1);
        QCOMPARE(config.group(), 4);
        QCOMPARE(config.head_dim, 16);
        QCOMPARE(config.intermediate_size, 48);
        QCOMPARE(config.max_positions, 64);
        QCOMPARE(config.rope_theta, 5e5);
        QCOMPARE(config.attention_scale, 0.25f);
        QVERIFY(config.norm == NormParams::Kind::RmsNorm && config.norm_epsilon == 1e-5f);
        QVERIFY(config.activation == ActivateParams::Kind::Silu && config.gated_mlp);
        QVERIFY(!config.tied_embeddings && !config.qkv_bias && !config.low_rank);
        QCOMPARE(readModelConfig(without(tinyLlamaConfig(), "num_key_value_heads"), "c").kv_heads, 4);
        QVERIFY(!readModelConfig(without(tinyLlamaConfig(), "tie_word_embeddings"), "c").tied_embeddings);
        QCOMPARE(readModelConfig(without(tinyLlamaConfig(), "rms_norm_eps"), "c").norm_epsilon, 1e-6f);
        // What is set to its harmless value is accepted.
        json["rope_scaling"] = nullptr;
        json["sliding_window"] = 64;
        QCOMPARE(readModelConfig(json, "config.json").layers, 2);
    }

    void readsOptAndMpt() {
        const ModelConfig opt = readModelConfig(tinyOptConfig(), "config.json");
        QVERIFY(opt.family == "opt" && opt.position == PositionKind::Learned && opt.position_offset == 2);
        QVERIFY(opt.tied_embeddings && opt.qkv_bias && opt.output_bias && opt.mlp_bias && opt.norm_bias);
        QVERIFY(opt.activation == ActivateParams::Kind::Relu && !opt.gated_mlp);
        const ModelConfig mpt = readModelConfig(tinyMptConfig(), "config.json");
        QVERIFY(mpt.family == "mpt" && mpt.position == PositionKind::Alibi && mpt.alibi_bias_max == 8.0);
        QVERIFY(mpt.tied_embeddings && !mpt.qkv_bias && !mpt.output_bias && !mpt.mlp_bias && !mpt.norm_bias);
        QVERIFY(mpt.activation == ActivateParams::Kind::Gelu);
        QCOMPARE(mpt.intermediate_size, 64);
        QCOMPARE(mpt.attention_scale, static_cast<float>(1.0 / std::sqrt(8.0)));
        QCOMPARE(readModelConfig(without(tinyMptConfig(), "attn_config"), "c").alibi_bias_max, 8.0);
    }

    // How the original training code computes attention is no matter of what it computes.
    void attentionImplementationIsIrrelevant() {
        const ModelConfig plain = readModelConfig(tinyMptConfig(), "c");
        for (const char* name : {"torch", "flash", "triton"}) {
            Json json = tinyMptConfig();
            json["attn_config"]["attn_impl"] = name;
            const ModelConfig config = readModelConfig(json, "c");
            QVERIFY(config.position == plain.position && config.attention_scale == plain.attention_scale);
            QVERIFY(config.kv_heads == plain.kv_heads && config.alibi_bias_max == plain.alibi_bias_max);
        }
    }

    void readsVariants() {
        Json json = tinyOptConfig();
        json["do_layer_norm_before"] = false;
        json["word_embed_proj_dim"] = 16;
        ModelConfig config = readModelConfig(json, "c");
        QVERIFY(config.norm_after && !config.final_norm && config.projectsEmbeddings());
        QCOMPARE(config.embedding_size, 16);
        json = tinyOptConfig();
        json["_remove_final_layer_norm"] = true;
        json["word_embed_proj_dim"] = nullptr;
        config = readModelConfig(json, "c");
        QVERIFY(!config.norm_after && !config.final_norm && !config.projectsEmbeddings());

        json = tinyMptConfig();
        json["attn_config"]["attn_type"] = "multiquery_attention";
        json["attn_config"]["clip_qkv"] = 6;
        config = readModelConfig(json, "c");
        QCOMPARE(config.kv_heads, 1);
        QCOMPARE(config.qkv_clip, 6.0f);
        QVERIFY(!config.linearProjections());
        json["attn_config"]["clip_qkv"] = nullptr;
        QVERIFY(readModelConfig(json, "c").linearProjections());

        // What a Mistral configuration leaves out is the architecture's; null is none.
        json = tinyLlamaConfig();
        json["model_type"] = "mistral";
        json["max_position_embeddings"] = 8192;
        json["num_attention_heads"] = 16;
        json.erase("num_key_value_heads");
        config = readModelConfig(json, "c");
        QCOMPARE(config.kv_heads, 8);
        QCOMPARE(config.window(0), 4096);
        json["sliding_window"] = nullptr;
        QCOMPARE(readModelConfig(json, "c").window(1), 0);
        json["sliding_window"] = 8192;  // hides nothing
        QCOMPARE(readModelConfig(json, "c").window(1), 0);

        json = tinyLlamaConfig();
        json["model_type"] = "qwen2";
        json["sliding_window"] = 16;
        json["max_window_layers"] = 1;
        config = readModelConfig(json, "c");
        QVERIFY(config.qkv_bias && !config.output_bias && !config.mlp_bias);
        QCOMPARE(config.window(1), 0);
        json["use_sliding_window"] = true;
        config = readModelConfig(json, "c");
        QCOMPARE(config.window(0), 0);
        QCOMPARE(config.window(1), 16);
    }

    void readsScaledRotation() {
        using Kind = RopeScaling::Kind;
        Json json = tinyLlamaConfig();
        json["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 7.0}};
        ModelConfig config = readModelConfig(json, "c");
        QVERIFY(config.rope_scaling.kind == Kind::Linear && config.rope_scaling.factor == 4.0);
        QCOMPARE(config.rope_theta, 7.0);
        // The older form counts where both are there; what is missing in it comes from beside it.
        json["rope_scaling"] = {{"type", "dynamic"}, {"factor", 2.5}};
        config = readModelConfig(json, "c");
        QVERIFY(config.rope_scaling.kind == Kind::Dynamic && config.rope_scaling.original_positions == 64.0);
        QCOMPARE(config.rope_theta, 10000.0);
        QCOMPARE(config.max_positions, 160);
        QVERIFY(!rotationDependsOnLength(config, 64) && rotationDependsOnLength(config, 65));
        QCOMPARE(rotaryFrequencies(config, 64),
                 rotaryFrequencies(readModelConfig(tinyLlamaConfig(), "c"), 64));
        json["rope_scaling"] = {
            {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}};
        config = readModelConfig(json, "c");
        QCOMPARE(config.max_positions, 128);
        const double sharpened = 0.1 * std::log(4.0) + 1.0;  // squared: of queries and of keys
        QVERIFY(std::abs(config.attention_scale - sharpened * sharpened / std::sqrt(8.0)) < 1e-6);
        json["rope_scaling"]["attention_factor"] = 1.0;
        QCOMPARE(readModelConfig(json, "c").attention_scale, static_cast<float>(1.0 / std::sqrt(8.0)));
    }

    void refusesByName_data() {
        QTest::addColumn<QString>("found");
        QTest::addColumn<QString>("expected");
        const auto row = [](const char* name, const std::string& found, const char* expected) {
            QTest::newRow(name) << QString::fromStdString(found) << QString(expected);
        };
        const Json llama = tinyLlamaConfig(), opt = tinyOptConfig(), mpt = tinyMptConfig();
        row("architecture", refusal(llama, "/model_type", "gpt2"),
            "config.json: model_type: \"gpt2\" is not a supported architecture (supported: llama, mistral, "
            "qwen2, opt, mpt)");
        row("no type", refusal(llama, "/model_type", nullptr), "config.json: model_type: is missing");
        row("no layers", refusal(llama, "/num_hidden_layers", nullptr),
            "config.json: num_hidden_layers: is missing");
        row("many layers", refusal(llama, "/num_hidden_layers", 1000000),
            "config.json: num_hidden_layers: expected an integer from 1 to 4096, found 1000000");
        row("zero heads", refusal(llama, "/num_attention_heads", 0),
            "config.json: num_attention_heads: expected an integer from 1 to 4096, found 0");
        row("text for a number", refusal(opt, "/hidden_size", "32"),
            "config.json: hidden_size: expected an integer from 1 to 1048576");
        row("uneven heads", refusal(llama, "/num_attention_heads", 3),
            "config.json: hidden_size: 32 is not a multiple of the number of heads, 3");
        row("uneven groups", refusal(llama, "/num_key_value_heads", 3),
            "config.json: 4 query heads cannot share 3 key/value heads evenly");
        row("odd rotation", refusal(llama, "/head_dim", 7),
            "config.json: rotary positions need an even head dimension, found 7");
        row("activation", refusal(llama, "/hidden_act", "mish"),
            "config.json: hidden_act: \"mish\": unknown activation (known: relu, gelu, gelu_new, "
            "gelu_pytorch_tanh, "
            "gelu_fast, silu)");
        const auto scaled = [&](Json scaling) { return refusal(llama, "/rope_scaling", std::move(scaling)); };
        row("unknown rotation", scaled({{"type", "longrope"}, {"factor", 2.0}}),
            "config.json: rope_scaling.type: \"longrope\": unknown scaling of rotary positions (known: "
            "default, "
            "linear, dynamic, llama3, yarn)");
        row("no factor", refusal(llama, "/rope_parameters", {{"rope_type", "linear"}}),
            "config.json: rope_parameters.factor: is missing");
        row("small factor", scaled({{"rope_type", "dynamic"}, {"factor", 0.5}}),
            "config.json: rope_scaling.factor: expected a number of at least 1");
        row("half of llama3", scaled({{"rope_type", "llama3"}, {"factor", 8.0}}),
            "config.json: rope_scaling.low_freq_factor: is missing");
        row("llama3 upside down",
            scaled(
                {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 4}, {"high_freq_factor", 1}}),
            "config.json: rope_scaling.high_freq_factor: expected more than low_freq_factor");
        row("yarn with a negative factor",
            scaled({{"rope_type", "yarn"}, {"factor", 2.0}, {"attention_factor", -1.0}}),
            "config.json: rope_scaling.attention_factor: expected a positive number");
        row("rotation by layer",
            refusal(llama, "/rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}),
            "config.json: rope_parameters.full_attention: {\"rope_theta\":10000.0}: rotary positions that "
            "differ by "
            "layer are not supported");
        row("partial rotation", refusal(llama, "/partial_rotary_factor", 0.5),
            "config.json: partial_rotary_factor: 0.5: partly rotated heads are not supported");
        row("quantised", refusal(llama, "/quantization_config", {{"bits", 4}}),
            "config.json: quantization_config: {\"bits\":4}: quantised weights are not supported");
        row("soft cap", refusal(llama, "/final_logit_softcapping", 30.0),
            "config.json: final_logit_softcapping: 30.0: soft-capped logits are not supported");
        row("sliding window", refusal(llama, "/sliding_window", 32),
            "config.json: sliding_window: 32: attention over a sliding window is not supported in this "
            "family");
        row("layer kinds", refusal(llama, "/layer_types", {"full_attention", "sliding_attention"}),
            "config.json: layer_types[1]: \"sliding_attention\": contradicts the sliding window of this "
            "layer");
        row("linear attention", refusal(llama, "/layer_types", {"full_attention", "linear_attention"}),
            "config.json: layer_types[1]: \"linear_attention\": unknown kind of layer (known: "
            "full_attention, "
            "sliding_attention)");
        row("few layer kinds", refusal(llama, "/layer_types", {"full_attention"}),
            "config.json: layer_types: has 1 entries, expected one for each of the 2 layers");
        row("theta", refusal(llama, "/rope_theta", 0), "config.json: rope_theta: expected a positive number");
        row("epsilon", refusal(llama, "/rms_norm_eps", -1.0),
            "config.json: the norms' epsilon must be a positive number");
        row("negative clip", refusal(mpt, "/attn_config/clip_qkv", -6.0),
            "config.json: attn_config.clip_qkv: expected a number that is not negative");
        row("attention form", refusal(mpt, "/attn_config/attn_type", "other_attention"),
            "config.json: attn_config.attn_type: \"other_attention\": unknown form of attention (known: "
            "multihead_attention, multiquery_attention, grouped_query_attention)");
        row("no kv heads", refusal(mpt, "/attn_config/attn_type", "grouped_query_attention"),
            "config.json: attn_config.kv_n_heads: is missing");
        row("kv heads of all", refusal(mpt, "/attn_config/kv_n_heads", 2),
            "config.json: attn_config.kv_n_heads: 2: contradicts attn_type");
        row("prefix", refusal(mpt, "/attn_config/prefix_lm", true),
            "config.json: attn_config.prefix_lm: true: attention that is not causal is not supported");
        row("gated MLP", refusal(mpt, "/ffn_config", {{"ffn_type", "mptglu"}}),
            "config.json: ffn_config.ffn_type: \"mptglu\": other MLPs are not supported");
        row("no alibi", refusal(mpt, "/attn_config/alibi", false),
            "config.json: attn_config.alibi: false: positions other than ALiBi are not supported");
        row("logit scale", refusal(mpt, "/logit_scale", 0.5),
            "config.json: logit_scale: 0.5: scaled logits are not supported");
        row("low rank version", refusal(llama, "/eigen_attention", {{"version", 2}}),
            "config.json: eigen_attention.version: version 2 is newer than this program reads (1)");
        row("low rank layers", refusal(llama, "/eigen_attention", lowRank({8}, {8, 8})),
            "config.json: eigen_attention.key_ranks: has 1 entries, expected one for each of the 2 layers");
        row("low rank too high", refusal(llama, "/eigen_attention", lowRank({8, 8}, {8, 9})),
            "config.json: eigen_attention.value_ranks[1]: expected an integer from 1 to 8, found 9");
        Json refit = lowRank({8, 8}, {8, 8});
        refit["refit"] = 3;
        row("low rank refit", refusal(llama, "/eigen_attention", refit),
            "config.json: eigen_attention.refit: expected an object, or null");
        row("low rank missing", refusal(llama, "/eigen_attention", {{"version", 1}, {"key_ranks", {1, 2}}}),
            "config.json: eigen_attention.value_ranks: is missing");
    }
    // What the object of a converted checkpoint says comes back as it was; what earlier versions do not say
    // may be missing.
    void conversionsAreDescribedWhole() {
        LowRankDescription description;
        description.method = "attention-aware";
        description.criterion = "singular-values";
        description.source = "llama-stories";
        description.source_fingerprint = "00ff";
        description.calibration = {"a.txt x 2 + b.txt x 1", "77aa", 64, 512, 18446744073709551615u, 2, 32};
        description.head_group = 2;
        description.key_ranks = {3, 16};
        description.value_ranks = {1, 9};
        description.kv_bits = KvBits::uniform(2, 4, 3);
        description.kv_bits.values[1] = kUnquantised;
        description.kv_bits.group = 64;
        description.kv_bits.key_grouping = KvGrouping::Channel;
        description.kv_bits.recent = 32;
        description.share_key_basis = description.center = true;
        description.refit = RefitSummary{"a.txt", "77aa", 16, 512, 1e-3};
        const auto read = [](const Json& json) {
            return readLowRankDescription(JsonView(json, "config.json"), 2, 2, 8);
        };
        const LowRankDescription found = read(Json::parse(toJson(description).dump()));
        QCOMPARE(found.method, description.method);
        QCOMPARE(found.criterion, description.criterion);
        QCOMPARE(found.source, description.source);
        QCOMPARE(found.source_fingerprint, description.source_fingerprint);
        QVERIFY(found.calibration == description.calibration);
        QCOMPARE(found.head_group, 2);
        QCOMPARE(found.key_ranks, description.key_ranks);
        QCOMPARE(found.value_ranks, description.value_ranks);
        QVERIFY(found.kv_bits == description.kv_bits);
        QVERIFY(found.share_key_basis && found.center);
        QVERIFY(found.refit == description.refit);

        const LowRankDescription earlier = read(lowRank({8, 8}, {8, 8}));
        QVERIFY(!earlier.refit && !earlier.calibration.attention_queries);
        Json null = lowRank({8, 8}, {8, 8});
        null["refit"] = nullptr;
        QVERIFY(!read(null).refit);
    }
    void refusesByName() {
        QFETCH(QString, found);
        QFETCH(QString, expected);
        QCOMPARE(found, expected);
    }
};

QTEST_GUILESS_MAIN(TestModelConfig)
#include "tst_model_config.moc"
