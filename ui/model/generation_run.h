// SPDX-License-Identifier: GPL-3.0-or-later
// One model answering a prompt: tokens arrive here while the engine works elsewhere. GUI thread; tokens are
// fetched about 30 times a second.
#pragma once

#include "core/generation/generate.h"
#include "ui/model/job_stream.h"

#include <QObject>

#include <memory>
#include <optional>
#include <vector>

namespace eigenscope {

class GenerationRun : public QObject {
    Q_OBJECT
public:
    enum class State { Idle, Streaming, Done, Stopped, Failed };

    explicit GenerationRun(JobRunner& jobs, QObject* parent = nullptr);

    void start(const OpenModel& model, const QString& prompt, const GenerationOptions& options);
    void stop();
    void clear();

    State state() const { return m_state; }
    const std::vector<TokenEvent>& tokens() const { return m_tokens; }
    const std::optional<GenerationResult>& result() const { return m_result; }  // once Done
    QString error() const { return m_error; }
    QString text() const;
    double tokensPerSecond() const;  // after the first token; while streaming, so far

signals:
    void updated();  // tokens or state
    void ended();

private:
    void fetch();
    void end();

    JobRunner& m_jobs;
    JobStream m_stream;
    std::shared_ptr<Mailbox<TokenEvent>> m_mailbox;
    State m_state = State::Idle;
    std::vector<TokenEvent> m_tokens;
    std::optional<GenerationResult> m_result;
    QString m_error;
};

}  // namespace eigenscope
