// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/generation_run.h"

namespace eigenscope {

namespace {
constexpr int kFetchMs = 33;
}

GenerationRun::GenerationRun(JobRunner& jobs, QObject* parent)
    : QObject(parent), m_jobs(jobs), m_stream(kFetchMs) {
    connect(&m_stream, &JobStream::fetch, this, &GenerationRun::fetch);
    connect(&m_stream, &JobStream::ended, this, &GenerationRun::end);
}

void GenerationRun::start(const OpenModel& model, const QString& prompt, const GenerationOptions& options) {
    clear();
    m_mailbox = std::make_shared<Mailbox<TokenEvent>>();
    m_state = State::Streaming;
    const auto sink = [mailbox = m_mailbox](const TokenEvent& token) { mailbox->put(token); };
    m_stream.follow(m_jobs.submit(
        Lane::Parallel, tr("Generate with %1").arg(QString::fromStdString(model.name)), this,
        [model, options, sink, text = prompt.toStdString()](JobContext& job) {
            return generate(job, model, text, options, sink);
        },
        [this](GenerationResult result) { m_result = std::move(result); },
        [this](const QString& error) { m_error = error; }));
    emit updated();
}

void GenerationRun::stop() {
    if (m_stream.running()) {
        m_stream.job()->cancel();
    }
}

void GenerationRun::clear() {
    m_stream.drop();
    m_mailbox.reset();
    m_tokens.clear();
    m_result.reset();
    m_error.clear();
    m_state = State::Idle;
    emit updated();
}

void GenerationRun::fetch() {
    const std::vector<TokenEvent> arrived = m_mailbox->take();
    if (!arrived.empty()) {
        m_tokens.insert(m_tokens.end(), arrived.begin(), arrived.end());
        emit updated();
    }
}

void GenerationRun::end() {
    const Job::State state = m_stream.job()->state();
    m_state = state == Job::State::Finished ? State::Done
              : state == Job::State::Failed ? State::Failed
                                            : State::Stopped;
    emit updated();
    emit ended();
}

QString GenerationRun::text() const {
    std::string text;
    for (const TokenEvent& token : m_tokens) {
        text += token.text;
    }
    return QString::fromStdString(text);
}

double GenerationRun::tokensPerSecond() const {
    if (m_result) {
        return m_result->tokens_per_second;
    }
    if (m_tokens.size() < 2) {
        return 0.0;
    }
    const double seconds = m_tokens.back().seconds - m_tokens.front().seconds;
    return seconds > 0.0 ? static_cast<double>(m_tokens.size() - 1) / seconds : 0.0;
}

}  // namespace eigenscope
