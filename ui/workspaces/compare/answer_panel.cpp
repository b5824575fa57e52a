// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/answer_panel.h"

#include "ui/model/generation_run.h"
#include "ui/model/units.h"
#include "ui/widgets/elided_label.h"
#include "ui/widgets/theme.h"

#include <QHBoxLayout>
#include <QScrollBar>
#include <QStyle>
#include <QTextBrowser>

#include <algorithm>

namespace eigenscope {

namespace {

QString escaped(const std::string& text) {
    return QString::fromStdString(text).toHtmlEscaped().replace(QLatin1Char('\n'), QStringLiteral("<br>"));
}

}  // namespace

AnswerPanel::AnswerPanel(const Theme& theme, QWidget* parent) : Panel({}, parent), m_theme(theme) {
    m_name = new ElidedLabel({}, this, Qt::ElideMiddle);
    m_name->setProperty("role", "title");
    m_badge = new QLabel(this);
    m_badge->setProperty("role", "badge");
    m_state = new ElidedLabel({}, this);
    m_state->setProperty("role", "muted");
    header()->insertWidget(0, m_badge);
    header()->insertWidget(0, m_name);
    header()->addWidget(m_state);
    m_text = new QTextBrowser(this);
    m_text->setProperty("flat", true);
    m_text->setAccessibleName(tr("Answer"));
    m_text->setObjectName(QStringLiteral("answer"));
    // Takes what room there is; in a small window the figures below need it more.
    m_text->setMinimumHeight(48);
    m_text->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Ignored);
    body()->addWidget(m_text, 1);
    m_figures = mutedLabel({}, this);
    m_figures->setTextFormat(Qt::RichText);
    m_figures->setWordWrap(true);
    body()->addWidget(m_figures);
}

void AnswerPanel::setModel(const QString& name, const QString& badge, std::size_t token_bytes,
                           bool original) {
    m_name->setText(name);
    m_badge->setText(badge);
    m_token_bytes = token_bytes;
    m_badge->setProperty("role", original ? "badge" : "badge-value");
    m_badge->style()->unpolish(m_badge);
    m_badge->style()->polish(m_badge);
}

QString AnswerPanel::plainText() const { return m_text->toPlainText(); }

void AnswerPanel::show(const GenerationRun& run, const GenerationRun* other,
                       std::ptrdiff_t first_difference) {
    const ThemeColours& c = m_theme.colours();
    QString html = QStringLiteral("<div style='line-height: 150%'>");
    const auto& tokens = run.tokens();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const QString text = escaped(tokens[i].text);
        const bool first = static_cast<std::ptrdiff_t>(i) == first_difference;
        const bool differs = other && first_difference >= 0 &&
                             static_cast<std::ptrdiff_t>(i) > first_difference &&
                             (i >= other->tokens().size() || other->tokens()[i].id != tokens[i].id);
        if (other && first) {
            html += QStringLiteral("<span style='background:%1; color:%2; font-weight:700'>%3</span>")
                        .arg(c.value.name(), c.on_accent.name(), text);
        } else if (differs) {
            html += QStringLiteral("<span style='background:%1'>%2</span>").arg(c.value_wash.name(), text);
        } else {
            html += text;
        }
    }
    if (tokens.empty() && run.state() == GenerationRun::State::Idle) {
        html += QStringLiteral("<span style='color:%1'>%2</span>")
                    .arg(c.muted.name(), tr("The answer appears here."));
    }
    if (run.state() == GenerationRun::State::Failed) {
        html +=
            QStringLiteral("<span style='color:%1'>%2</span>").arg(c.bad.name(), run.error().toHtmlEscaped());
    }
    html += QStringLiteral("</div>");
    if (html != m_html) {
        m_html = html;
        const bool at_end =
            m_text->verticalScrollBar()->value() >= m_text->verticalScrollBar()->maximum() - 4;
        m_text->setHtml(html);
        if (at_end) {
            m_text->verticalScrollBar()->setValue(m_text->verticalScrollBar()->maximum());
        }
    }
    switch (run.state()) {
        case GenerationRun::State::Idle:
            m_state->clear();
            break;
        case GenerationRun::State::Streaming:
            m_state->setText(tr("streaming ▍"));
            break;
        case GenerationRun::State::Stopped:
            m_state->setText(tr("stopped"));
            break;
        case GenerationRun::State::Failed:
            m_state->setText(tr("failed"));
            break;
        case GenerationRun::State::Done:
            m_state->setText(!run.result()                                   ? QString()
                             : run.result()->stop == StopReason::EndOfText   ? tr("ended by itself")
                             : run.result()->stop == StopReason::ContextFull ? tr("context full")
                                                                             : tr("done"));
            break;
    }
    QStringList figures;
    const auto add = [&figures](const QString& name, const QString& value) {
        figures.append(QStringLiteral("%1&nbsp;<b>%2</b>")
                           .arg(name, QString(value).replace(QLatin1Char(' '), QStringLiteral("&nbsp;"))));
    };
    if (!tokens.empty()) {
        add(tr("TTFT"), millisecondsText(tokens.front().seconds * 1000.0));
        add(tr("tokens"), countText(static_cast<std::int64_t>(tokens.size())));
        if (run.tokensPerSecond() > 0.0) {
            add(tr("tokens/s"), shortCountText(run.tokensPerSecond()));
        }
    }
    add(tr("KV a token"), bytesText(static_cast<double>(m_token_bytes)));
    if (run.result()) {
        add(tr("KV"), bytesText(static_cast<double>(run.result()->kv_cache_bytes)));
        add(tr("peak"), bytesText(static_cast<double>(run.result()->peak_memory_bytes)));
    }
    const QString line = figures.join(QStringLiteral("&nbsp;&nbsp;&nbsp; "));
    m_figures->setText(QStringLiteral("<span style='color:%1'>%2</span>").arg(c.text.name(), line));
    m_figures->setToolTip(
        tr("Time to first token and speed while both models run at once; see Side by side for each alone"));
}

}  // namespace eigenscope
