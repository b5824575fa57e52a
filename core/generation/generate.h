// SPDX-License-Identifier: Apache-2.0
// Prompt to text: chunked prefill, decode, stop tokens, streaming, timing.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/sampling.h"
#include "core/model/hidden_states.h"
#include "core/model/model.h"
#include "core/model/transformer.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

struct RunOptions {
    int threads = 0;                 // 0: the device's default
    std::optional<Compute> compute;  // empty: automaticCompute()
    // Empty: the bits that a converted checkpoint was planned with, else the checkpoint's dtype (f32 where
    // the device cannot do that). The rows that a quantised cache keeps exact are of the checkpoint's dtype.
    std::optional<KvFormat> kv_format;
    StateOptions states{};  // of runs that take all windows through one layer after the other
};
Compute resolveCompute(const RunOptions& options, const OpenModel& model);
KvFormat resolveKvFormat(const RunOptions& options, const OpenModel& model);
// The same where only a checkpoint's headers are known, whatever the device can do.
KvFormat resolveKvFormat(const std::optional<KvFormat>& asked, const ModelConfig& config, DType weights);
// Tokens of one forward call; `asked` 0 is as many as the device is fast with: 256 on a host, 2048 where
// there is more to keep busy, but 256 where caches keep exact rows beside their codes, for which they are
// sized. Results do not depend on it.
std::int64_t resolveRows(const RunOptions& options, const OpenModel& model, std::int64_t asked = 0);
// The same where the logits of all rows are held at a time: of at most 256 MiB.
std::int64_t resolveLogitRows(const RunOptions& options, const OpenModel& model, std::int64_t asked = 0);
// What the attention and append ops of a device say about a format.
Support supportsKvFormat(const Backend& backend, const ModelConfig& config, const KvFormat& format);

struct GenerationOptions {
    int max_tokens = 128;
    SamplingOptions sampling;
    bool stop_at_eos = true;
    bool add_special_tokens = true;  // to the prompt, as the tokenizer does; a chat template writes its own
    std::int64_t prefill_chunk = 0;  // tokens of one call; 0: resolveRows()
    RunOptions run;
};

enum class StopReason : std::uint8_t { MaxTokens, EndOfText, ContextFull };

struct TokenEvent {
    TokenId id = 0;
    std::string text;    // complete characters that this token finished, possibly none
    double seconds = 0;  // since the start of prefill
};

struct GenerationResult {
    std::string text;
    std::vector<TokenId> prompt_ids, ids;  // ids: the new tokens, an end-of-text token included
    double ttft_ms = 0;                    // start of prefill to the first token
    double tpot_ms = 0;                    // mean time of the tokens after the first; 0 for a single token
    double tokens_per_second = 0;          // of the tokens after the first
    std::size_t kv_cache_bytes = 0;        // the positions used, prompt + new, at the cache's format
    std::size_t peak_memory_bytes = 0;     // weights + allocated cache + scratch on the device
    StopReason stop = StopReason::MaxTokens;
};

using TokenSink = std::function<void(const TokenEvent&)>;  // called on the generating thread

// An empty prompt (no ids) starts from bos, or is an error when the tokenizer has none. Cancelling throws
// Cancelled; what was streamed by then is the caller's.
GenerationResult generate(JobContext& job, const OpenModel& model, std::string_view prompt,
                          const GenerationOptions& options, const TokenSink& sink = {});

}  // namespace eigenscope
