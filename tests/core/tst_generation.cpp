// SPDX-License-Identifier: Apache-2.0
// Prompt to text: against transformers' greedy continuations, and what the result reports.
#include "core/benchmark/forwarding_backend.h"
#include "core/generation/generate.h"
#include "core/tokenizer/utf8.h"
#include "tests/support/backends.h"
#include "tests/support/error_text.h"
#include "tests/support/golden_model.h"
#include "tests/support/id_tokenizer.h"

#include <QTest>

#include <vector>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

std::string textOf(std::span<const TokenId> ids) { return IdTokenizer(0).decode(ids, true); }

GenerationResult run(const OpenModel& open, const std::string& prompt, const GenerationOptions& options,
                     const TokenSink& sink = {}) {
    JobContext job;
    return generate(job, open, prompt, options, sink);
}

// f32 throughout, so that every backend's choices are transformers'.
GenerationOptions exactly(int tokens) {
    GenerationOptions options;
    options.max_tokens = tokens;
    options.run.compute = Compute::F32;
    options.run.kv_format = DType::F32;
    return options;
}

// The reference backend without narrow formats, and in need of downloads.
class PlainBackend final : public ForwardingBackend {
public:
    PlainBackend() : ForwardingBackend(referenceBackend()), m_info(inner().info()) {
        m_info.host_accessible = false;
    }
    const DeviceInfo& info() const override { return m_info; }
    Support supports(Op, const OpTraits& traits) const override {
        const bool plain = traits.cache == DType::F32 && traits.compute == Compute::F32;
        return plain ? Support{} : Support{false, "this device computes in f32 only"};
    }
    void download(Stream& s, void* to, const void* from, std::size_t bytes) override {
        ++downloads;
        ForwardingBackend::download(s, to, from, bytes);
    }

    int downloads = 0;

private:
    DeviceInfo m_info;
};

}  // namespace

class TestGeneration : public QObject {
    Q_OBJECT
private slots:
    void greedyEqualsTransformers_data() {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("backend");
        for (const auto& backend : hostBackends()) {
            for (const std::string& name : goldenModelNames()) {
                QTest::newRow((name + " on " + backend->info().backend).c_str())
                    << QString::fromStdString(name) << QString::fromStdString(backend->info().backend);
            }
        }
    }
    void greedyEqualsTransformers() {
        QFETCH(QString, model);
        QFETCH(QString, backend);
        const GoldenModel golden = openGoldenModel(model.toStdString(), hostBackend(backend.toStdString()));
        for (const std::int64_t chunk : {256, 3}) {
            GenerationOptions options = exactly(static_cast<int>(golden.greedy.size()));
            options.prefill_chunk = chunk;
            std::string streamed;
            std::vector<TokenId> ids;
            const GenerationResult result =
                run(golden.open, textOf(golden.prompt), options, [&](const TokenEvent& event) {
                    streamed += event.text;
                    ids.push_back(event.id);
                });
            QCOMPARE(result.prompt_ids, golden.prompt);
            QCOMPARE(result.ids, golden.greedy);
            QCOMPARE(ids, golden.greedy);
            QCOMPARE(result.text, textOf(golden.greedy));
            QCOMPARE(streamed, result.text);
            QVERIFY(result.stop == StopReason::MaxTokens);
        }
    }

    void reportsWhatIsAllocated() {
        const GoldenModel golden = openGoldenModel("llama-low-rank", referenceBackend());
        GenerationOptions options = exactly(6);
        options.run.kv_format = DType::F16;
        options.prefill_chunk = 4;
        const GenerationResult result = run(golden.open, textOf(golden.prompt), options);
        // Ranks 5 and 3 for keys, 6 and 4 for values, 2 heads, 2 bytes, 10 + 6 positions.
        const std::size_t cache = 2 * (5 + 3 + 6 + 4) * 2 * 16;
        QCOMPARE(result.kv_cache_bytes, cache);
        // 4 rows: hidden, norm, ids; a step's position, 16 bytes; query 32, key 2 * 5, value 2 * 6, output 4
        // * 6 against up and gate of 56; logits.
        const auto line = [](std::size_t floats) { return (floats * 4 + 63) / 64 * 64; };
        const std::size_t scratch =
            2 * line(4 * 32) + line(4) + line(4) +
            std::max(line(4 * 32) + line(4 * 10) + line(4 * 12) + line(4 * 24), 2 * line(4 * 56)) + 128 * 4;
        QCOMPARE(result.peak_memory_bytes,
                 static_cast<std::size_t>(golden.open.model->weightBytes()) + cache + scratch);
        QVERIFY(result.ttft_ms > 0.0 && result.tpot_ms > 0.0 && result.tokens_per_second > 0.0);
        options.max_tokens = 1;
        QCOMPARE(run(golden.open, textOf(golden.prompt), options).tpot_ms, 0.0);
    }

    void stopsAtEndOfText() {
        GoldenModel golden = openGoldenModel("llama-gqa", referenceBackend());
        const TokenId eos = golden.greedy[5];
        std::size_t first = 0;
        while (golden.greedy[first] != eos) {
            ++first;
        }
        golden.open.tokenizer = std::make_shared<IdTokenizer>(300, std::vector<TokenId>{299, eos});
        GenerationOptions options = exactly(24);
        const GenerationResult result = run(golden.open, textOf(golden.prompt), options);
        QVERIFY(result.stop == StopReason::EndOfText);
        QCOMPARE(result.ids, std::vector<TokenId>(golden.greedy.begin(), golden.greedy.begin() + first + 1));
        options.stop_at_eos = false;
        QCOMPARE(run(golden.open, textOf(golden.prompt), options).ids, golden.greedy);
    }

    void stopsWhenTheContextIsFull() {
        const GoldenModel golden = openGoldenModel("opt", referenceBackend());
        // 96 positions: 90 of prompt leave room to append 6, each giving a token, and the prompt gives one.
        std::vector<TokenId> prompt(90, 7);
        const GenerationResult result = run(golden.open, textOf(prompt), exactly(50));
        QVERIFY(result.stop == StopReason::ContextFull);
        QCOMPARE(result.ids.size(), 7u);
        QCOMPARE(result.kv_cache_bytes, std::size_t(96 * 2 * 64 * 4));
        prompt.resize(97, 7);
        QCOMPARE(errorOf([&] { run(golden.open, textOf(prompt), exactly(1)); }),
                 "the prompt has 97 tokens, more than the 96 positions of opt");
    }

    void emptyPromptStartsFromBos() {
        GoldenModel golden = openGoldenModel("opt", referenceBackend());
        QCOMPARE(errorOf([&] { run(golden.open, "", exactly(2)); }),
                 "the prompt is empty and opt has no beginning-of-text token to start from");
        golden.open.tokenizer = std::make_shared<IdTokenizer>(128, std::vector<TokenId>{}, 2);
        QCOMPARE(run(golden.open, "", exactly(2)).prompt_ids, std::vector<TokenId>{2});
    }

    void badArgumentsAreNamed() {
        const GoldenModel golden = openGoldenModel("opt", referenceBackend());
        QCOMPARE(errorOf([&] { run(golden.open, "3", exactly(0)); }),
                 "max tokens: expected at least 1, found 0");
        GenerationOptions options = exactly(2);
        options.prefill_chunk = -1;
        QCOMPARE(errorOf([&] { run(golden.open, "3", options); }),
                 "prefill chunk: expected at least 1, or 0 for the device's, found -1");
        options = exactly(2);
        options.sampling.top_p = 2.0f;
        QVERIFY(errorOf([&] { run(golden.open, "3", options); }).starts_with("top-p: "));
        QCOMPARE(errorOf([&] { run(golden.open, "3 128", exactly(2)); }),
                 "token id 128 (number 1) is outside the vocabulary, 0 to 127");
    }

    void sampledTextFollowsItsSeed() {
        const GoldenModel golden = openGoldenModel("llama-gqa", referenceBackend());
        const auto draw = [&](std::uint64_t seed, std::int64_t chunk) {
            GenerationOptions options = exactly(20);
            options.sampling = {1.0f, 50, 0.95f, seed};
            options.prefill_chunk = chunk;
            return run(golden.open, textOf(golden.prompt), options).ids;
        };
        QCOMPARE(draw(3, 256), draw(3, 256));
        QCOMPARE(draw(3, 256), draw(3, 2));
        QVERIFY(draw(3, 256) != draw(4, 256));
    }

    void cancelsBetweenTokens() {
        const GoldenModel golden = openGoldenModel("mpt-sharded", referenceBackend());
        std::stop_source source;
        JobContext job(source.get_token());
        int tokens = 0;
        QVERIFY_EXCEPTION_THROWN(generate(job, golden.open, textOf(golden.prompt), exactly(80),
                                          [&](const TokenEvent&) {
                                              if (++tokens == 3) {
                                                  source.request_stop();
                                              }
                                          }),
                                 Cancelled);
        QCOMPARE(tokens, 3);
    }

    void formatsResolve() {
        GoldenModel bf16 = openGoldenModel("llama-tied-bf16", referenceBackend());
        QVERIFY(resolveCompute({}, bf16.open) == Compute::BF16);
        QVERIFY(resolveKvFormat({}, bf16.open) == DType::BF16);
        const GoldenModel f32 = openGoldenModel("opt", referenceBackend());
        QVERIFY(resolveCompute({}, f32.open) == Compute::F32);
        QVERIFY(resolveKvFormat({}, f32.open) == DType::F32);
        RunOptions options;
        options.compute = Compute::BF16;
        options.kv_format = DType::F16;
        QVERIFY(resolveCompute(options, f32.open) == Compute::BF16);
        QVERIFY(resolveKvFormat(options, f32.open) == DType::F16);
        // A device that cannot: what was asked for is refused, what was not falls back.
        bf16.open.backend = std::make_shared<PlainBackend>();
        QVERIFY(resolveCompute({}, bf16.open) == Compute::F32);
        QVERIFY(resolveKvFormat({}, bf16.open) == DType::F32);
        QCOMPARE(errorOf([&] { resolveCompute(options, bf16.open); }),
                 "compute: this device computes in f32 only");
        QCOMPARE(errorOf([&] { resolveKvFormat(options, bf16.open); }),
                 "kv-format: this device computes in f32 only");
    }

    // Where the host cannot read the device's memory, logits are fetched, once a token.
    void downloadsLogits() {
        const auto backend = std::make_shared<PlainBackend>();
        const GoldenModel golden = openGoldenModel("opt", backend);
        QCOMPARE(run(golden.open, textOf(golden.prompt), exactly(24)).ids, golden.greedy);
        QCOMPARE(backend->downloads, 24);
    }

    void textThroughARealTokenizer() {
        JobContext job;
        const OpenModel open = openModel(job, referenceBackend(), goldenModelDirectory("llama-gqa"));
        std::string streamed;
        const GenerationResult result = generate(job, open, "The old lighthouse", exactly(20),
                                                 [&](const TokenEvent& event) { streamed += event.text; });
        QCOMPARE(streamed, result.text);
        // Random weights spell stray bytes; in text each is a replacement character.
        QCOMPARE(result.text, validUtf8(open.tokenizer->decode(result.ids, true)));
    }
};

QTEST_GUILESS_MAIN(TestGeneration)
#include "tst_generation.moc"
