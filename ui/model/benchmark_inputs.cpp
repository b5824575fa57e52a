// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/benchmark_inputs.h"

#include "kernels/api/error.h"

#include <QCoreApplication>
#include <QRegularExpression>
#include <QStringList>

#include <algorithm>

namespace eigenscope {

namespace {

constexpr std::int64_t kLongestSuggested = 8192, kShortestSuggested = 64;
constexpr int kSuggested = 4;
constexpr qsizetype kMostNumbers = 16;

QString say(const char* text) { return QCoreApplication::translate("BenchmarkInputs", text); }

std::int64_t numberOf(const QString& text, std::int64_t most) {
    static const QRegularExpression kNumber(QStringLiteral("^([1-9][0-9]*)([kK]?)$"));
    const QRegularExpressionMatch match = kNumber.match(text);
    bool fits = match.hasMatch();
    const std::int64_t value = fits ? match.captured(1).toLongLong(&fits) : 0;
    const std::int64_t unit = match.captured(2).isEmpty() ? 1 : 1024;
    return fits && value <= most / unit ? value * unit : 0;
}

}  // namespace

std::vector<std::int64_t> numberList(const QString& text, std::int64_t most, QString* error) {
    static const QRegularExpression kSeparators(QStringLiteral("[,;\\s]+"));
    const QStringList parts = text.split(kSeparators, Qt::SkipEmptyParts);
    std::vector<std::int64_t> numbers;
    for (const QString& part : parts) {
        const std::int64_t number = numberOf(part, most);
        if (number == 0) {
            *error = say("expected whole numbers from 1 to %L1 such as 512, 2048, 8k; found “%2”")
                         .arg(most)
                         .arg(part);
            return {};
        }
        if (std::find(numbers.begin(), numbers.end(), number) == numbers.end()) {
            numbers.push_back(number);
        }
    }
    if (parts.size() > kMostNumbers) {
        *error = say("expected at most %1 numbers, found %L2").arg(kMostNumbers).arg(parts.size());
        return {};
    }
    if (numbers.empty()) {
        *error = say("expected at least one number");
    }
    return numbers;
}

QString listText(const std::vector<std::int64_t>& numbers) {
    QStringList parts;
    for (const std::int64_t number : numbers) {
        parts << QString::number(number);
    }
    return parts.join(QStringLiteral(", "));
}

std::vector<std::int64_t> suggestedContexts(std::int64_t max_positions) {
    const std::int64_t longest = std::min(max_positions, kLongestSuggested);
    std::vector<std::int64_t> contexts;
    for (std::int64_t context = longest; static_cast<int>(contexts.size()) < kSuggested; context /= 2) {
        if (context < kShortestSuggested && !contexts.empty()) {
            break;
        }
        contexts.push_back(context);
    }
    std::reverse(contexts.begin(), contexts.end());
    return contexts;
}

QString formatSetting(const std::optional<KvFormat>& format) {
    if (!format) {
        return {};
    }
    const std::string_view name = nameOf(*format), keys = nameOf(format->keys);
    return QStringLiteral("%1/%2/%3/%4")
        .arg(QString::fromUtf8(name.data(), static_cast<qsizetype>(name.size())))
        .arg(format->group)
        .arg(QString::fromUtf8(keys.data(), static_cast<qsizetype>(keys.size())))
        .arg(format->recent);
}

std::optional<KvFormat> formatFromSetting(const QString& text) {
    const QStringList parts = text.split(QLatin1Char('/'));
    std::optional<KvFormat> format = kvFormatFromName(parts.value(0).toStdString());
    if (!format || format->bits == 0) {
        return format;
    }
    KvFormat read = *format;
    read.group = parts.value(1).toInt();
    read.recent = parts.value(3).toInt();
    const auto keys = kvGroupingFromName(parts.value(2).toStdString());
    read.keys = keys.value_or(KvGrouping::Token);
    try {
        checkKvFormat(read);
    } catch (const Error&) {
        return format;  // what was kept is from another version, or edited: the format alone
    }
    return read;
}

}  // namespace eigenscope
