// SPDX-License-Identifier: Apache-2.0
// Reading weights: what is accepted, what is refused and with which words, what lands in memory.
#include "core/model/family.h"
#include "core/model/model.h"
#include "core/model/positions.h"
#include "core/model/transformer.h"
#include "tests/support/backends.h"
#include "tests/support/error_text.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

std::shared_ptr<const Model> load(const std::filesystem::path& directory) {
    JobContext job;
    return loadModel(job, *referenceBackend(), *Checkpoint::open(directory));
}

std::vector<float> logitsOf(std::shared_ptr<const Model> model) {
    const Transformer transformer(referenceBackend(), std::move(model));
    Session session = transformer.createSession({});
    KvCache cache = transformer.createCache(DType::F32, 8);
    const std::vector<TokenId> ids{1, 5, 9, 3, 3, 60};
    const TensorView logits = transformer.forward(session, ids, cache, LogitsOf::All);
    return std::vector<float>(logits.f32(), logits.f32() + logits.shape.count());
}

Json lowRank(std::vector<int> keys, std::vector<int> values) {
    return {{"version", 1},
            {"method", "eigen"},
            {"key_ranks", std::move(keys)},
            {"value_ranks", std::move(values)}};
}

}  // namespace

class TestModel : public QObject {
    Q_OBJECT
private slots:
    void lowRankDescriptionRoundTrip() {
        LowRankDescription description;
        description.source = "demo";
        description.calibration = {"story.txt", "00ff", 16, 128, 18446744073709551615ull};
        description.key_ranks = {4, 8};
        description.value_ranks = {2, 6};
        description.kv_ratio = 20.0 / 32.0;
        description.share_key_basis = true;
        Json json = tinyLlamaConfig();
        json["eigen_attention"] = toJson(description);
        const ModelConfig config = readModelConfig(Json::parse(json.dump()), "config.json");
        QVERIFY(config.low_rank.has_value());
        QCOMPARE(config.low_rank->source, "demo");
        QCOMPARE(config.low_rank->calibration.text, "story.txt");
        QCOMPARE(config.low_rank->calibration.fingerprint, "00ff");
        QCOMPARE(config.low_rank->calibration.samples, 16);
        QCOMPARE(config.low_rank->calibration.sequence_length, 128);
        QCOMPARE(config.low_rank->calibration.seed, 18446744073709551615ull);
        QCOMPARE(config.low_rank->key_ranks, description.key_ranks);
        QCOMPARE(config.low_rank->value_ranks, description.value_ranks);
        QCOMPARE(config.low_rank->kv_ratio, 0.625);
        QVERIFY(config.low_rank->share_key_basis);
        QVERIFY(toJson(*config.low_rank) == json["eigen_attention"]);
        QVERIFY(config.rebuildsKeys());
        QCOMPARE(config.keyWidth(0), 4);
        QCOMPARE(config.valueWidth(1), 6);
        QCOMPARE(config.queryWidth(0), 8);  // rotated queries keep the head dimension
        json = tinyOptConfig();
        json["eigen_attention"] = toJson(description);
        QCOMPARE(readModelConfig(json, "config.json").queryWidth(0), 4);
    }

    void tensorsAreChecked_data() {
        QTest::addColumn<QString>("family");
        QTest::newRow("llama") << "llama";
        QTest::newRow("opt") << "opt";
        QTest::newRow("opt 350m") << "opt 350m";
        QTest::newRow("mpt") << "mpt";
        QTest::newRow("llama, low rank") << "llama low";
        QTest::newRow("opt, low rank") << "opt low";
        QTest::newRow("mpt, low rank") << "mpt low";
    }
    // Every tensor in turn is left out, or has a row too many: each time the message names it.
    void tensorsAreChecked() {
        QFETCH(QString, family);
        Json json = family.startsWith("llama") ? tinyLlamaConfig()
                    : family.startsWith("opt") ? tinyOptConfig()
                                               : tinyMptConfig();
        if (family.endsWith("low")) {
            json["eigen_attention"] = lowRank({3, 5}, {4, 2});
        }
        if (family.endsWith("350m")) {
            json["do_layer_norm_before"] = false;
            json["word_embed_proj_dim"] = 16;
        }
        const CheckpointTensors tensors = randomTensors(json, 1);
        TemporaryDirectory directory;
        writeCheckpoint(directory / "good", json, tensors);
        QCOMPARE(load(directory / "good")->config.layers, 2);
        for (const auto& [name, tensor] : tensors) {
            const auto path = directory / "bad";
            CheckpointTensors changed = tensors;
            changed.erase(name);
            writeCheckpoint(path, json, changed);
            const std::string missing = errorOf([&] { load(path); });
            const bool optional = family.endsWith("low") && name.ends_with(".bias") &&
                                  name.find("k_proj_up") != std::string::npos;
            if (optional) {
                QCOMPARE(missing, "");
            } else {
                QVERIFY2(missing.starts_with(path.string() + ": tensor " + name + " is missing"),
                         missing.c_str());
            }
            changed = tensors;
            const std::int64_t stride = static_cast<std::int64_t>(tensor.values.size()) / tensor.shape[0];
            changed[name].shape[0] += 1;
            changed[name].values.resize(tensor.values.size() + static_cast<std::size_t>(stride));
            writeCheckpoint(path, json, changed);
            const std::string wrong = errorOf([&] { load(path); });
            QVERIFY2(wrong.starts_with((path / "model.safetensors").string() + ": tensor " + name +
                                       ": expected shape ["),
                     wrong.c_str());
            QVERIFY2(wrong.ends_with("]") && wrong.find("from config.json, found [") != std::string::npos,
                     wrong.c_str());
        }
    }

    void shapeMessageShowsBothShapes() {
        TemporaryDirectory directory;
        Json json = tinyLlamaConfig();
        const CheckpointTensors tensors = randomTensors(json, 1);
        json["intermediate_size"] = 50;
        writeCheckpoint(directory / "m", json, tensors);
        QCOMPARE(errorOf([&] { load(directory / "m"); }),
                 (directory / "m" / "model.safetensors").string() +
                     ": tensor model.layers.0.mlp.gate_proj.weight: expected shape [50, 32] from "
                     "config.json, found "
                     "[48, 32]");
    }

    // Checkpoints saved without the language-model head lack the outer module's name.
    void prefixesMayBeAbsent_data() {
        QTest::addColumn<QString>("family");
        QTest::addColumn<QString>("usual");
        QTest::addColumn<QString>("other");
        QTest::newRow("llama") << "llama"
                               << "model."
                               << "";
        QTest::newRow("opt") << "opt"
                             << "model.decoder."
                             << "decoder.";
        QTest::newRow("mpt") << "mpt"
                             << "transformer."
                             << "";
    }
    void prefixesMayBeAbsent() {
        QFETCH(QString, family);
        QFETCH(QString, usual);
        QFETCH(QString, other);
        const Json json = family == "llama" ? tinyLlamaConfig()
                          : family == "opt" ? tinyOptConfig()
                                            : tinyMptConfig();
        const CheckpointTensors tensors = randomTensors(json, 2);
        CheckpointTensors renamed;
        for (const auto& [name, tensor] : tensors) {
            const QString text = QString::fromStdString(name);
            renamed[(text.startsWith(usual) ? other + text.mid(usual.size()) : text).toStdString()] = tensor;
        }
        TemporaryDirectory directory;
        writeCheckpoint(directory / "a", json, tensors);
        writeCheckpoint(directory / "b", json, renamed);
        const auto first = load(directory / "a"), second = load(directory / "b");
        QCOMPARE(first->config.tensor_prefix, usual.toStdString());
        QCOMPARE(second->config.tensor_prefix, other.toStdString());
        QCOMPARE(logitsOf(first), logitsOf(second));
    }

    // Weights are used where the file is mapped; those that do not lie on a multiple of their element are
    // copied.
    void weightsAreShared() {
        TemporaryDirectory directory;
        writeRandomCheckpoint(directory / "m", tinyLlamaConfig(), 3);
        JobContext job;
        const auto checkpoint = Checkpoint::open(directory / "m");
        const auto model = loadModel(job, *referenceBackend(), *checkpoint);
        QCOMPARE(model->layers[0].up.weight.data(),
                 static_cast<const void*>(checkpoint->at("model.layers.0.mlp.up_proj.weight").bytes.data()));

        // The same tensors with a header that leaves the data at an odd address.
        const auto file = directory / "m" / "model.safetensors";
        std::ifstream in(file, std::ios::binary);
        std::string bytes((std::istreambuf_iterator<char>(in)), {});
        std::uint64_t header = 0;
        std::memcpy(&header, bytes.data(), sizeof header);
        bytes.insert(8 + header, (8 + header) % 2 == 0 ? " " : "  ");
        header += (8 + header) % 2 == 0 ? 1 : 2;
        std::memcpy(bytes.data(), &header, sizeof header);
        std::filesystem::create_directory(directory / "odd");
        std::filesystem::copy(directory / "m" / "config.json", directory / "odd");
        std::ofstream(directory / "odd" / "model.safetensors", std::ios::binary) << bytes;
        const auto odd = load(directory / "odd");
        QVERIFY(reinterpret_cast<std::uintptr_t>(odd->layers[0].up.weight.data()) % sizeof(float) == 0);
        QCOMPARE(logitsOf(odd), logitsOf(model));
    }

    // Counted by hand: a tied table once, fused rows once, vectors as f32, tables of positions too.
    void weightBytesByHand() {
        TemporaryDirectory directory;
        writeRandomCheckpoint(directory / "llama", tinyLlamaConfig(), 4, FileDType::BF16);
        const std::int64_t matrices = 2 * 64 * 32 + 2 * (32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 48 * 32);
        const std::int64_t vectors = 2 * 2 * 32 + 32, tables = 2 * 64 * 4;
        const auto llama = load(directory / "llama");
        QCOMPARE(llama->weightBytes(), 2 * matrices + 4 * (vectors + tables));
        QVERIFY(weightDType(*llama) == DType::BF16);
        QVERIFY(automaticCompute(*referenceBackend(), *llama) == Compute::BF16);

        writeRandomCheckpoint(directory / "mpt", tinyMptConfig(), 4);
        const auto mpt = load(directory / "mpt");
        QCOMPARE(mpt->weightBytes(),
                 4 * (64 * 32 + 2 * (96 * 32 + 32 * 32 + 2 * 64 * 32) + 2 * 2 * 32 + 32 + 4));
        QVERIFY(automaticCompute(*referenceBackend(), *mpt) == Compute::F32);
    }

    void otherDTypesAreRefused() {
        TemporaryDirectory directory;
        const Json json = tinyMptConfig();
        writeRandomCheckpoint(directory / "m", json, 5);
        std::vector<TensorSpec> specs;
        const CheckpointTensors tensors = randomTensors(json, 5);
        for (const auto& [name, tensor] : tensors) {
            specs.push_back(
                {name, name == "transformer.wte.weight" ? FileDType::I8 : FileDType::F32, tensor.shape});
        }
        std::filesystem::remove(directory / "m" / "model.safetensors");
        SafetensorsWriter writer(directory / "m" / "model.safetensors", specs, {});
        for (const TensorSpec& spec : specs) {
            writer.write(spec.name, std::vector<std::byte>(spec.bytes()));
        }
        writer.commit();
        QCOMPARE(errorOf([&] { load(directory / "m"); }),
                 (directory / "m" / "model.safetensors").string() +
                     ": tensor transformer.wte.weight: dtype I8, expected F32, F16 or BF16");
    }

    void biasesWhereTheyAreAllowed() {
        TemporaryDirectory directory;
        Json json = tinyMptConfig();
        json["no_bias"] = false;
        writeRandomCheckpoint(directory / "mpt", json, 6);
        const auto mpt = load(directory / "mpt");
        QCOMPARE(mpt->layers[1].attention.value.bias.shape(), Shape{32});
        QVERIFY(!mpt->final_norm.bias.empty() && !mpt->layers[0].down.bias.empty());
        // The fused bias is cut like the fused weight.
        QCOMPARE(mpt->layers[0].attention.key.bias.f32(), mpt->layers[0].attention.query.bias.f32() + 32);
        logitsOf(mpt);
        // transformers writes none of them.
        CheckpointTensors without_biases = randomTensors(json, 6);
        std::erase_if(without_biases, [](const auto& tensor) { return tensor.first.ends_with(".bias"); });
        writeCheckpoint(directory / "bare", json, without_biases);
        const auto bare = load(directory / "bare");
        QVERIFY(bare->layers[1].attention.value.bias.empty() && bare->final_norm.bias.empty());
    }

    void loadingCanBeCancelled() {
        TemporaryDirectory directory;
        writeRandomCheckpoint(directory / "m", tinyOptConfig(), 7);
        std::stop_source source;
        source.request_stop();
        JobContext job(source.get_token());
        QVERIFY_EXCEPTION_THROWN(loadModel(job, *referenceBackend(), *Checkpoint::open(directory / "m")),
                                 Cancelled);
    }

    // The same numbers every time, other ones in every matrix; enormous models in little memory.
    void dummyWeights() {
        TemporaryDirectory directory;
        Json json = tinyLlamaConfig();
        json["torch_dtype"] = "bfloat16";
        std::filesystem::create_directory(directory / "m");
        std::ofstream(directory / "m" / "config.json") << json.dump();
        JobContext job;
        const auto backend = referenceBackend();
        const OpenModel first = openModel(job, backend, directory / "m", LoadFormat::Dummy);
        const OpenModel second = openModel(job, backend, directory / "m", LoadFormat::Dummy);
        QVERIFY(weightDType(*first.model) == DType::BF16);
        QCOMPARE(logitsOf(first.model), logitsOf(second.model));
        QCOMPARE(first.checkpoint->fingerprint(), second.checkpoint->fingerprint());
        const TensorRecord &up = first.checkpoint->at("model.layers.0.mlp.up_proj.weight"),
                           &gate = first.checkpoint->at("model.layers.0.mlp.gate_proj.weight");
        QVERIFY(!std::ranges::equal(up.bytes, gate.bytes));
        double sum = 0, squares = 0;
        for (std::int64_t i = 0; i < up.count(); ++i) {
            const double value = loadAsF32(up.bytes.data(), DType::BF16, i);
            sum += value;
            squares += value * value;
        }
        // 1536 numbers of deviation 0.02: their mean and deviation, within four standard errors.
        const auto count = static_cast<double>(up.count());
        QVERIFY(std::abs(sum / count) < 4 * 0.02 / std::sqrt(count));
        QVERIFY(std::abs(std::sqrt(squares / count) / 0.02 - 1) < 4 / std::sqrt(2 * count) + 0.01);
        const float* norm = first.model->final_norm.weight.f32();
        QVERIFY(std::all_of(norm, norm + 32, [](float value) { return value == 1.0f; }));
        QVERIFY(errorOf([&] { first.tokenizer->encode("text"); }).find("has no tokenizer") !=
                std::string::npos);
        // With a tokenizer beside it, text is to be had.
        for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
            std::filesystem::copy(goldenModelDirectory("llama-gqa") / name, directory / "m" / name);
        QCOMPARE(openModel(job, backend, directory / "m", LoadFormat::Dummy).tokenizer->size(), 300);

        json["torch_dtype"] = "int8";
        std::ofstream(directory / "m" / "config.json") << json.dump();
        QVERIFY(errorOf([&] {
                    openCheckpoint(directory / "m", LoadFormat::Dummy);
                }).ends_with("torch_dtype: expected float32, float16 or bfloat16"));
        // What a lying configuration asks for has no addresses, and takes no memory to find out.
        json["torch_dtype"] = "float32";
        for (const char* key : {"hidden_size", "intermediate_size", "vocab_size"})
            json[key] = 1 << 20;
        json["num_hidden_layers"] = 4096;
        std::ofstream(directory / "m" / "config.json") << json.dump();
        const std::string message = errorOf([&] { openCheckpoint(directory / "m", LoadFormat::Dummy); });
        QVERIFY2(message.find("no addresses for ") != std::string::npos ||
                     message.find("head_dim") != std::string::npos,
                 message.c_str());
    }

    // Published counts of parameters.
    void presetsAreTheirNames() {
        const std::map<std::string, std::int64_t> parameters{
            {"tinyllama-1.1b", 1100048384}, {"opt-6.7b", 6658473984},    {"mpt-7b", 6649286656},
            {"llama-2-7b", 6738415616},     {"llama-3-8b", 8030261248},  {"llama-2-13b", 13015864320},
            {"opt-30b", 29974540288},       {"llama-3-70b", 70553706496}};
        QCOMPARE(presets().size(), parameters.size());
        for (const Preset& preset : presets()) {
            const auto checkpoint = openCheckpoint("preset:" + std::string(preset.name));
            QCOMPARE(checkpoint->name(), std::string(preset.title));
            QCOMPARE(checkpoint->parameterCount(), parameters.at(std::string(preset.name)));
        }
        QVERIFY(errorOf([] {
                    openCheckpoint("preset:gpt-9");
                }).starts_with("preset:gpt-9: there is no such preset (known: tinyllama-1.1b, "));
    }

    void opensWithItsTokenizer() {
        JobContext job;
        const OpenModel open = openModel(job, referenceBackend(), goldenModelDirectory("llama-gqa"));
        QCOMPARE(open.name, "llama-gqa");
        QCOMPARE(open.tokenizer->size(), 300);
        QCOMPARE(open.model->config.vocab_size, 300);
    }

    // Values of transformers' build_mpt_alibi_tensor for these head counts.
    void alibiSlopesOfAnyHeadCount() {
        const auto compare = [](const std::vector<float>& found, const std::vector<double>& expected) {
            QCOMPARE(found.size(), expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) {
                QVERIFY(std::abs(double{found[i]} - expected[i]) <= 1e-7 * expected[i]);
            }
        };
        compare(alibiSlopes(1, 8), {0.00390625});
        compare(alibiSlopes(4, 8), {0.25, 0.0625, 0.015625, 0.00390625});
        compare(alibiSlopes(3, 8), {0.0625, 0.00390625, 0.25});
        compare(alibiSlopes(6, 8), {0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125});
        compare(alibiSlopes(2, 16), {0.00390625, 0.0000152587890625});
    }

    void rotaryTable() {
        const ModelConfig config = readModelConfig(tinyLlamaConfig(), "c");  // heads of 8, theta 10000
        const RotaryNumbers numbers = rotaryNumbers(rotaryFrequencies(config, 4096), 4096);
        QCOMPARE(numbers.cos.size(), std::size_t(4096 * 4));
        for (int i = 0; i < 4; ++i) {
            QCOMPARE(numbers.cos[static_cast<std::size_t>(i)], 1.0f);
            QCOMPARE(numbers.sin[static_cast<std::size_t>(i)], 0.0f);
            // Position 4095: single-precision angles are right to 6e-8 of 4095.
            const double angle = 4095.0 * std::pow(10000.0, -2.0 * i / 8.0);
            const auto at = static_cast<std::size_t>(4095 * 4 + i);
            QVERIFY(std::abs(double{numbers.cos[at]} - std::cos(angle)) < 5e-4);
            QVERIFY(std::abs(double{numbers.sin[at]} - std::sin(angle)) < 5e-4);
        }
    }

    void namesOfAConvertedLayer() {
        Json json = tinyLlamaConfig();
        json["eigen_attention"] = lowRank({3, 5}, {4, 2});
        ModelConfig config = readModelConfig(json, "config.json");
        LayerTensorNames names = familyOf(config).layerNames(config, 1);
        QCOMPARE(names.query, "model.layers.1.self_attn.q_proj");
        QCOMPARE(names.key, "model.layers.1.self_attn.k_proj_low");
        QCOMPARE(names.key_lift, "model.layers.1.self_attn.k_proj_up");
        QCOMPARE(names.value, "model.layers.1.self_attn.v_proj_low");
        QCOMPARE(names.output, "model.layers.1.self_attn.o_proj_up");
        config.low_rank.reset();
        QVERIFY(familyOf(config).layerNames(config, 1).key_lift.empty());
        QCOMPARE(familyOf(config).layerNames(config, 1).output, "model.layers.1.self_attn.o_proj");
    }
};

QTEST_GUILESS_MAIN(TestModel)
#include "tst_model.moc"
