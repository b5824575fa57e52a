// SPDX-License-Identifier: GPL-3.0-or-later
// logits MODEL --ids 1,2,3 --output FILE.npy: float32 [tokens, vocab_size] of exactly these ids.
#include "app/cli/commands.h"
#include "app/cli/npy_file.h"
#include "core/model/transformer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace eigenscope {

namespace {

constexpr std::size_t kChunk = 64;  // rows of logits held at once

struct Options {
    std::string model, output;
    std::vector<std::int64_t> ids;
};

std::vector<TokenId> checkedIds(const std::vector<std::int64_t>& ids, int vocab_size) {
    std::vector<TokenId> result;
    for (const std::int64_t id : ids) {
        if (id < 0 || id >= vocab_size) {
            throw Error(ErrorCode::InvalidInput,
                        fmt::format("--ids: {} is not a token id, expected 0 to {}", id, vocab_size - 1));
        }
        result.push_back(static_cast<TokenId>(id));
    }
    return result;
}

void logits(Run& run, const Options& options) {
    checkWritableFile(options.output);
    const OpenModel model = run.open(options.model);
    const RunOptions run_options = run.runOptions(model);
    const std::vector<TokenId> ids = checkedIds(options.ids, model.model->config.vocab_size);
    const auto vocab = static_cast<std::int64_t>(model.model->config.vocab_size);

    const Transformer transformer(model.backend, model.model);
    SessionOptions session_options;
    session_options.threads = run_options.threads;
    session_options.compute = resolveCompute(run_options, model);
    session_options.max_rows = kChunk;
    session_options.stop = run.job().stopToken();
    Session session = transformer.createSession(session_options);
    KvCache cache = transformer.createCache(resolveKvFormat(run_options, model),
                                            static_cast<std::int64_t>(ids.size()), 1, kChunk);

    NpyFile file(options.output, static_cast<std::int64_t>(ids.size()), vocab);
    std::vector<float> rows;
    for (std::size_t done = 0; done < ids.size();) {
        run.job().progress("computing logits", static_cast<std::int64_t>(done),
                           static_cast<std::int64_t>(ids.size()));
        const std::size_t count = std::min(kChunk, ids.size() - done);
        const TensorView view =
            transformer.forward(session, std::span(ids).subspan(done, count), cache, LogitsOf::All);
        rows.resize(count * static_cast<std::size_t>(vocab));
        session.backend().download(session.stream(), rows.data(), view.data, view.bytes());
        file.write(rows);
        done += count;
        run.job().checkCancelled();
    }
    file.commit();

    ResultJson json = {{"output", options.output}, {"tokens", ids.size()}, {"vocab_size", vocab}};
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(fmt::format("{}: float32 [{}, {}]\n", options.output, ids.size(), vocab));
}

}  // namespace

Command addLogits(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("logits", "Logits of given token ids, as a NumPy file");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->model, "Checkpoint directory")->required();
    sub->add_option("--ids", options->ids, "Token ids separated by commas; nothing is added")
        ->delimiter(',')
        ->required();
    sub->add_option("--output,-o", options->output, "NumPy file to write, float32 [tokens, vocab_size]")
        ->required();
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { logits(run, *options); }};
}

}  // namespace eigenscope
