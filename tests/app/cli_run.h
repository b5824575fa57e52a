// SPDX-License-Identifier: Apache-2.0
// Runs the built eigenscope-cli as a user does: its own process, arguments in, bytes and status out. Test
// thread only.
#pragma once

#include <QByteArray>
#include <QJsonObject>
#include <QString>
#include <QStringList>

namespace eigenscope::test {

struct CliResult {
    int status = -1;  // -1: crashed, or did not start or end
    QByteArray out, error;
    QStringList errorLines() const;
};

QString cliProgram();
// `address_space`: a limit on it in bytes (RLIMIT_AS), 0 for none.
CliResult runCli(const QStringList& arguments, qint64 address_space = 0);
// Runs with --json and expects status 0 and standard output to be exactly one JSON object; else an empty
// object, and why in `problem`.
QJsonObject runJson(const QStringList& arguments, QString* problem);

QString sourcePath(const QString& relative);  // of the repository
QString smallModel(const QString& family);    // a tiny checkpoint with a tokenizer: "llama", "opt", "mpt"
QString smallText();

// Checks one key: its presence and type. Types: "int", "number", "string", "bool", "object", "array", "ints",
// "numbers", "strings", and with "?" appended also null. Returns what is wrong, or nothing.
QString keyProblem(const QJsonObject& object, const QString& key, const QString& type);

// Every file and folder below, hidden ones too, as relative paths in order.
QStringList filesBelow(const QString& folder);

}  // namespace eigenscope::test

// Runs and fails the test with the reason when there is no JSON object.
#define RUN_JSON(object, ...)                                                        \
    QString object##_problem;                                                        \
    const QJsonObject object = runJson(QStringList{__VA_ARGS__}, &object##_problem); \
    QVERIFY2(object##_problem.isEmpty(), qPrintable(object##_problem))

// keys: "name:type name:type ..."
#define CHECK_KEYS(object, keys)                                                                     \
    for (const QString& entry : QString(keys).split(' ')) {                                          \
        const QString problem = keyProblem(object, entry.section(':', 0, 0), entry.section(':', 1)); \
        QVERIFY2(problem.isEmpty(), qPrintable(problem));                                            \
    }
