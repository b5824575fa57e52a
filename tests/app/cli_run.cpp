// SPDX-License-Identifier: Apache-2.0
#include "tests/app/cli_run.h"

#include <QDir>
#include <QDirIterator>
#include <QJsonArray>
#include <QJsonDocument>
#include <QProcess>
#include <QProcessEnvironment>

#include <algorithm>
#include <cmath>

#include <sys/resource.h>

namespace eigenscope::test {

namespace {

bool isInteger(const QJsonValue& value) {
    return value.isDouble() && std::floor(value.toDouble()) == value.toDouble();
}

bool hasType(const QJsonValue& value, const QString& type) {
    const auto every = [&value](auto predicate) {
        const QJsonArray array = value.toArray();
        return value.isArray() && std::all_of(array.begin(), array.end(), predicate);
    };
    if (type == "int")
        return isInteger(value);
    if (type == "number")
        return value.isDouble();
    if (type == "string")
        return value.isString();
    if (type == "bool")
        return value.isBool();
    if (type == "object")
        return value.isObject();
    if (type == "array")
        return value.isArray();
    if (type == "ints")
        return every([](const QJsonValue& v) { return isInteger(v); });
    if (type == "numbers")
        return every([](const QJsonValue& v) { return v.isDouble(); });
    if (type == "strings")
        return every([](const QJsonValue& v) { return v.isString(); });
    return false;
}

}  // namespace

QStringList CliResult::errorLines() const { return QString::fromUtf8(error).split('\n', Qt::SkipEmptyParts); }

QString cliProgram() { return QString(EIGENSCOPE_BINARY_DIR) + "/bin/eigenscope-cli"; }

CliResult runCli(const QStringList& arguments, qint64 address_space) {
    QProcess process;
    // Threads that spin while they wait make a busy machine's tests take minutes.
    QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
    environment.insert("OMP_WAIT_POLICY", "passive");
    if (address_space > 0) {
        // An arena of the allocator for each thread would reserve addresses by the hundred megabytes.
        environment.insert("MALLOC_ARENA_MAX", "1");
        process.setChildProcessModifier([address_space] {
            const rlimit limit{static_cast<rlim_t>(address_space), static_cast<rlim_t>(address_space)};
            setrlimit(RLIMIT_AS, &limit);
        });
    }
    process.setProcessEnvironment(environment);
    process.start(cliProgram(), arguments, QIODevice::ReadOnly);
    CliResult result;
    constexpr int kLongest = 300'000;  // ms, against a hang
    if (!process.waitForStarted() || !process.waitForFinished(kLongest)) {
        process.kill();
        process.waitForFinished();
        result.error = "did not start or did not end";
        return result;
    }
    result.status = process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1;
    result.out = process.readAllStandardOutput();
    result.error = process.readAllStandardError();
    return result;
}

QJsonObject runJson(const QStringList& arguments, QString* problem) {
    const CliResult result = runCli(arguments + QStringList{"--json"});
    if (result.status != 0) {
        *problem = QString("%1: status %2: %3")
                       .arg(arguments.join(' '))
                       .arg(result.status)
                       .arg(result.error.constData());
        return {};
    }
    QJsonParseError error;
    const QJsonDocument document = QJsonDocument::fromJson(result.out, &error);
    if (!document.isObject())
        *problem = arguments.join(' ') + ": standard output is not one JSON object: " + error.errorString();
    return document.object();
}

QString sourcePath(const QString& relative) { return QString(EIGENSCOPE_SOURCE_DIR) + "/" + relative; }

QString smallModel(const QString& family) { return sourcePath("tests/golden/method/" + family); }

QString smallText() { return sourcePath("tests/golden/method/text.txt"); }

QString keyProblem(const QJsonObject& object, const QString& key, const QString& type) {
    if (!object.contains(key))
        return "the key '" + key + "' is missing";
    const QJsonValue value = object[key];
    if (type.endsWith('?'))
        return value.isNull() || hasType(value, type.chopped(1)) ? QString() : key + " is not " + type;
    return hasType(value, type) ? QString() : key + " is not " + type;
}

QStringList filesBelow(const QString& folder) {
    QStringList files;
    QDirIterator iterator(folder, QDir::AllEntries | QDir::Hidden | QDir::System | QDir::NoDotAndDotDot,
                          QDirIterator::Subdirectories);
    while (iterator.hasNext())
        files += QDir(folder).relativeFilePath(iterator.next());
    files.sort();
    return files;
}

}  // namespace eigenscope::test
