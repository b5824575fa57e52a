// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/generation_run.h"

#include <mutex>

namespace eigenscope {

namespace {
constexpr int kFetchMs = 33;
}

struct GenerationRun::Mailbox {
    std::mutex mutex;
    std::vector<TokenEvent> tokens;
};

GenerationRun::GenerationRun(JobRunner& jobs, QObject* parent) : QObject(parent), m_jobs(jobs) {
    m_timer.setInterval(kFetchMs);
    connect(&m_timer, &QTimer::timeout, this, &GenerationRun::fetch);
}

void GenerationRun::start(const OpenModel& model, const QString& prompt, const GenerationOptions& options) {
    stop();
    clear();
    m_mailbox = std::make_shared<Mailbox>();
    m_state = State::Streaming;
    auto sink = [mailbox = m_mailbox](const TokenEvent& token) {
        const std::lock_guard lock(mailbox->mutex);
        mailbox->tokens.push_back(token);
    };
    m_job = m_jobs.submit(
        Lane::Parallel, tr("Generate with %1").arg(QString::fromStdString(model.name)), this,
        [model, options, sink, text = prompt.toStdString()](JobContext& job) {
            return generate(job, model, text, options, sink);
        },
        [this](GenerationResult result) { m_result = std::move(result); },
        [this](const QString& error) { m_error = error; });
    connect(m_job, &Job::ended, this, [this, job = m_job] {
        if (job != m_job) {
            return;  // an earlier run that ended late
        }
        const auto state = job->state();
        end(state == Job::State::Finished ? State::Done
            : state == Job::State::Failed ? State::Failed
                                          : State::Stopped);
    });
    m_timer.start();
    emit updated();
}

void GenerationRun::stop() {
    if (m_job && m_job->active()) {
        m_job->cancel();
    }
}

void GenerationRun::clear() {
    m_timer.stop();
    m_job = nullptr;
    m_mailbox.reset();
    m_tokens.clear();
    m_result.reset();
    m_error.clear();
    m_state = State::Idle;
    emit updated();
}

void GenerationRun::fetch() {
    std::vector<TokenEvent> arrived;
    {
        const std::lock_guard lock(m_mailbox->mutex);
        arrived.swap(m_mailbox->tokens);
    }
    if (!arrived.empty()) {
        m_tokens.insert(m_tokens.end(), arrived.begin(), arrived.end());
        emit updated();
    }
}

void GenerationRun::end(State state) {
    m_timer.stop();
    fetch();
    m_state = state;
    m_job = nullptr;
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
