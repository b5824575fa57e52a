// SPDX-License-Identifier: Apache-2.0
// Damaged statistics, unfinished calibrations and plans beyond the tables of their own tests (tst_statistics,
// tst_partial_calibration, tst_rank_plan): the moments of attention, moments of several heads, measured
// tables, descriptions in the metadata, numbers at the ends of their types, deep JSON, truncation anywhere;
// each with the message that it must give.
#include "core/base/atomic_output.h"
#include "core/calibration/partial_calibration.h"
#include "core/calibration/statistics.h"
#include "core/checkpoint/safetensors.h"
#include "tests/core/method_support.h"
#include "tests/support/safetensors_parts.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cstring>
#include <fstream>
#include <limits>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Without waiting for the disk, as what is tested is reading.
void writeAtOnce(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(file, std::ios::binary) << text;
}

using Parts = SafetensorsParts;

// With everything that a statistics file can hold: 2 layers of 4 query heads, 2 key/value heads of 3, in
// groups of 2, and one table of each kind.
Statistics fullStatistics() {
    Statistics s = randomStatistics(2, 4, 2, 3, true, 8);
    const Statistics wide = randomStatistics(2, 2, 1, 6, true, 9),
                     other = randomStatistics(2, 4, 2, 3, true, 10);
    s.head_group = 2;
    for (std::size_t i = 0; i < 2; ++i) {
        LayerStatistics& layer = s.layers[i];
        layer.logit_queries = other.layers[i].keys;
        layer.logit_queries.sum.clear();
        layer.logit_keys = other.layers[i].values;
        layer.logit_weights = {1.0, 2.0};
        layer.projection = other.layers[i].outputs.gram;
        layer.joint_keys = wide.layers[i].keys;
        layer.joint_values = wide.layers[i].values;
        layer.joint_logit_keys = wide.layers[i].queries;
    }
    s.corpus.files = {{"text.txt", "00", "text", "whole", 1.0, 1, 3}};
    s.identity = {{"model", "00"}, {"seed", "7"}};
    SensitivityTable sensitivity;
    sensitivity.method = "eigen";
    sensitivity.windows = sensitivity.sequence_length = 4;
    sensitivity.ranks = {1, 3};
    sensitivity.kl.assign(2 * 2 * 2, 0.5);
    sensitivity.quantised = {{{8, 4}, {3}, 8, KvGrouping::Token, 0}, std::vector<double>(2 * 2 * 2, 0.25)};
    s.tables.set(sensitivity);
    LayerErrorTable errors;
    errors.method = "eigen";
    errors.criterion = "energy";
    errors.windows = errors.sequence_length = 4;
    errors.layers.assign(2, {{1, 2, 0.5}, {3, 3, 0.0}});
    s.tables.set(errors);
    return s;
}

using Change = std::function<void(Parts&)>;
struct Row {
    const char* name;
    Change change;
    const char* message;  // after "<file>: "
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const std::string kDeepJson = std::string(100000, '[') + std::string(100000, ']');

Change metadata(const char* key, std::string value) {
    return [=](Parts& p) { p.metadata[key] = value; };
}

const std::vector<Row>& momentRows() {
    static const std::vector<Row> kRows = {
        {"tokens overflow the rows", metadata("tokens", "9007199254740992"),
         "__metadata__.tokens: expected an integer from 1 to 4503599627370496"},
        {"no tokens", metadata("tokens", "0"), "__metadata__.tokens: expected an integer"},
        {"head group", metadata("head_group", "3"),
         "__metadata__.head_group: expected an integer from 1 to 2"},
        {"negative layers", metadata("layers", "-1"), "__metadata__.layers: expected an integer"},
        {"wide heads", metadata("head_dim", "65536"), "layers.0.keys.gram: expected F64 [2, 65536, 65536]"},
        {"seed beyond 64 bits", metadata("calibration.seed", "18446744073709551616"),
         "__metadata__.calibration.seed"},
        {"half of attention", [](Parts& p) { p.remove("layers.1.logit_keys.sum"); },
         "there is no tensor 'layers.1.logit_keys.sum'"},
        {"attention of one layer",
         [](Parts& p) {
             for (const char* part :
                  {"logit_queries.gram", "logit_keys.gram", "logit_keys.sum", "logit_weights", "projection"})
                 p.remove(std::string("layers.0.") + part);
         },
         "there is no tensor 'layers.0.logit_queries.gram'"},
        {"asymmetric logit keys", [](Parts& p) { p.set("layers.0.logit_keys.gram", 1, 0.0); },
         "layers.0.logit_keys.gram: head 0 is not symmetric"},
        {"logit queries' diagonal", [](Parts& p) { p.set("layers.1.logit_queries.gram", 9, -1.0); },
         "layers.1.logit_queries.gram: head 1 has a negative diagonal element"},
        {"projection", [](Parts& p) { p.set("layers.0.projection", 8, 0.0); },
         "layers.0.projection: head 0 is not a Gram matrix"},
        {"negative weight", [](Parts& p) { p.set("layers.0.logit_weights", 1, -1.0); },
         "layers.0.logit_weights: holds a negative weight"},
        {"infinite weight", [](Parts& p) { p.set("layers.0.logit_weights", 0, kInfinity); },
         "layers.0.logit_weights: holds a number that is not finite"},
        {"joint keys missing", [](Parts& p) { p.remove("layers.1.joint_keys.gram"); },
         "there is no tensor 'layers.1.joint_keys.gram'"},
        {"asymmetric joint values", [](Parts& p) { p.set("layers.0.joint_values.gram", 6, 1e300); },
         "layers.0.joint_values.gram: head 0 is not symmetric"},
        {"joint sums", [](Parts& p) { p.set("layers.0.joint_logit_keys.sum", 5, std::nan("")); },
         "layers.0.joint_logit_keys.sum: holds a number that is not finite"},
        {"windows of no tokens",
         [](Parts& p) {
             p.spec("probe_windows").shape = {4611686018427387904, 0};
             p.bytes[p.index("probe_windows")].clear();
         },
         "probe_windows: expected I32 [windows, length]"},
    };
    return kRows;
}

const std::vector<Row>& tableRows() {
    static const std::vector<Row> kRows = {
        {"many tables", metadata("sensitivity.count", "65"),
         "__metadata__.sensitivity.count: expected an integer from 0 to 64"},
        {"a table more", metadata("sensitivity.count", "2"), "__metadata__.sensitivity.1.method: is missing"},
        {"no windows", metadata("sensitivity.0.windows", "0"),
         "__metadata__.sensitivity.0.windows: expected an integer"},
        {"group of the table", metadata("sensitivity.0.head_group", "4"),
         "__metadata__.sensitivity.0.head_group"},
        {"ranks fall", [](Parts& p) { p.set("sensitivity.0.ranks", 0, 3); },
         "sensitivity.0.ranks: expected ascending ranks above 0"},
        {"rank 0", [](Parts& p) { p.set("sensitivity.0.ranks", 0, 0); },
         "sensitivity.0.ranks: expected ascending ranks above 0"},
        {"not the full rank", [](Parts& p) { p.set("sensitivity.0.ranks", 1, 2); },
         "sensitivity.0.ranks: expected the full rank, 3, at the end"},
        {"too many ranks",
         [](Parts& p) {
             p.spec("sensitivity.0.ranks").shape = {4};
             p.bytes[p.index("sensitivity.0.ranks")].resize(16);
         },
         "sensitivity.0.ranks: expected I32 [1 to 3]"},
        {"negative divergence", [](Parts& p) { p.set("sensitivity.0.kl", 3, -1e-9); },
         "sensitivity.0.kl: holds a negative divergence"},
        {"infinite divergence", [](Parts& p) { p.set("sensitivity.0.kl", 0, kInfinity); },
         "sensitivity.0.kl: holds a number that is not finite"},
        {"five bits", [](Parts& p) { p.set("sensitivity.0.bits", 1, 5); },
         "sensitivity.0.bits: expected 8, 4, 3 or 2, descending"},
        {"bits rise", [](Parts& p) { p.set("sensitivity.0.bits", 0, 4); },
         "sensitivity.0.bits: expected 8, 4, 3 or 2, descending"},
        {"group of codes", metadata("sensitivity.0.kv_group", "12"),
         "sensitivity.0.kv_group: expected a multiple of 8"},
        {"grouping", metadata("sensitivity.0.kv_keys", "row"),
         "sensitivity.0.kv_keys: expected token or channel"},
        {"recent", metadata("sensitivity.0.kv_recent", "-1"), "sensitivity.0.kv_recent: expected an integer"},
        {"errors' shape",
         [](Parts& p) {
             p.spec("layer_errors.0.ranks").shape = {2, 4};
         },
         "layer_errors.0.ranks: expected I32 [2, 1 to 6, 2]"},
        {"errors' ranks fall", [](Parts& p) { p.set("layer_errors.0.ranks", 2, 0); },
         "layer_errors.0.ranks: expected ranks above 0 that do not fall"},
        {"errors' full rank", [](Parts& p) { p.set("layer_errors.0.ranks", 7, 2); },
         "layer_errors.0.ranks: expected the full rank, 3, at the end"},
        {"negative error", [](Parts& p) { p.set("layer_errors.0.error", 1, -0.5); },
         "layer_errors.0.error: holds a negative error"},
        {"corpus no JSON", metadata("corpus", "{"), "__metadata__.corpus: is not valid JSON"},
        {"corpus deep", metadata("corpus", kDeepJson), "__metadata__.corpus: "},
        {"corpus without files", metadata("corpus", "{}"), "__metadata__.corpus.files: is missing"},
        {"weight",
         metadata("corpus", R"({"files":[{"name":"a","fingerprint":"0","format":"text","sampling":"whole",)"
                            R"("weight":0,"documents":1,"windows":1}]})"),
         "__metadata__.corpus.files[0].weight: expected a number above 0"},
        {"negative documents",
         metadata("corpus", R"({"files":[{"name":"a","fingerprint":"0","format":"text","sampling":"whole",)"
                            R"("weight":1,"documents":-1,"windows":1}]})"),
         "__metadata__.corpus.files[0].documents: expected an integer from 0"},
        {"identity no pair", metadata("calibration.identity", R"([["model"]])"),
         "__metadata__.calibration.identity[0][1]: is missing"},
        {"identity no list", metadata("calibration.identity", "3"),
         "__metadata__.calibration.identity: expected an array"},
        {"identity deep", metadata("calibration.identity", kDeepJson), "__metadata__.calibration.identity"},
    };
    return kRows;
}

struct PlanRow {
    const char *pointer, *value, *message;
};
// What is not in tst_rank_plan's table: settings of bits and groups, numbers at the ends of their types.
constexpr PlanRow kPlanRows[] = {
    {"/version", "1.5", "version: expected an integer from 1 to 1, found 1.5"},
    {"/version", "18446744073709551616", "version: expected an integer from 1 to 1"},
    {"/head_group", "0", "head_group: expected an integer from 1 to 4096, found 0"},
    {"/head_group", "9223372036854775808", "head_group: expected an integer from 1 to 4096"},
    {"/rank_multiple", "-2147483648", "rank_multiple: expected an integer from 1"},
    {"/key_ranks/0", "65537", "key_ranks[0]: expected an integer from 1 to 65536, found 65537"},
    {"/key_ranks/0", "1e300", "key_ranks[0]: expected an integer"},
    {"/key_ranks/0", "null", "key_ranks[0]: expected an integer"},
    {"/key_ranks", "{}", "key_ranks: expected an array"},
    {"/key_bits", "[4, 0]", "key_bits[1]: "},
    {"/key_bits", "4", "key_bits: "},
    {"/kv_group", "12", "kv_group: expected a multiple of 8, found 12"},
    {"/kv_group", "1000000", "kv_group: expected an integer from 8 to 1024"},
    {"/kv_keys", "\"row\"", "kv_keys: expected token or channel"},
    {"/kv_recent", "-1", "kv_recent: expected an integer from 0"},
    {"/mixed_bits", "true", "mixed_bits: belongs to allocation sensitivity"},
    {"/thresholds/keys", "-1e-9", "thresholds.keys: expected a number from 0 to 1"},
    {"/error_budget", "\"NaN\"", "error_budget: expected a number"},
};

}  // namespace

class TestCorruptedResults : public QObject {
    Q_OBJECT

private:
    const TemporaryDirectory m_directory;

    static void compare(const std::string& said, const std::filesystem::path& file, const char* message) {
        QVERIFY2(said.starts_with(file.string() + ": "), said.c_str());
        QVERIFY2(said.find(message) != std::string::npos, ("said: " + said).c_str());
        QVERIFY(said.find('\n') == std::string::npos);
    }
    void compareStatistics(const std::vector<Row>& rows, int index) {
        const Row& row = rows[static_cast<std::size_t>(index)];
        const auto file = m_directory / "x.stats.safetensors";
        saveStatistics(fullStatistics(), file);
        QCOMPARE(errorOf([&] { loadStatistics(file); }), std::string());
        Parts parts(file);
        row.change(parts);
        parts.write(file);
        compare(errorOf([&] { loadStatistics(file); }), file, row.message);
    }
    static void namesOf(const std::vector<Row>& rows) {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < rows.size(); ++i)
            QTest::newRow(rows[i].name) << static_cast<int>(i);
    }

private slots:
    void moments_data() { namesOf(momentRows()); }
    void moments() {
        QFETCH(int, index);
        compareStatistics(momentRows(), index);
    }
    void tables_data() { namesOf(tableRows()); }
    void tables() {
        QFETCH(int, index);
        compareStatistics(tableRows(), index);
    }

    // Every prefix of a file with everything in it: no part of it passes for the whole.
    void truncatedStatistics() {
        const auto file = m_directory / "x.stats.safetensors";
        saveStatistics(fullStatistics(), file);
        const std::string whole = readTextFile(file);
        for (std::size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 61) {
            writeAtOnce(file, whole.substr(0, size));
            QVERIFY2(errorOf([&] { loadStatistics(file); }).starts_with(file.string()),
                     std::to_string(size).c_str());
        }
    }

    void partialCalibrations_data() {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < partialRows().size(); ++i)
            QTest::newRow(partialRows()[i].name) << static_cast<int>(i);
    }
    void partialCalibrations() {
        QFETCH(int, index);
        const Row& row = partialRows()[static_cast<std::size_t>(index)];
        const auto file = m_directory / "x.partial";
        savePartialCalibration({{{"model", "a"}}, 3, {{1, 2, 3}, {4}}}, file);
        Parts parts(file);
        row.change(parts);
        parts.write(file);
        compare(errorOf([&] { loadPartialCalibration(file); }), file, row.message);
    }

    void plans_data() {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < std::size(kPlanRows); ++i)
            QTest::newRow((std::string(kPlanRows[i].pointer) + "=" + kPlanRows[i].value).c_str())
                << static_cast<int>(i);
    }
    void plans() {
        QFETCH(int, index);
        const PlanRow& row = kPlanRows[index];
        const auto file = m_directory / "plan.json";
        Json json = planJson();
        json[Json::json_pointer(row.pointer)] = Json::parse(row.value);
        writeAtOnce(file, json.dump());
        compare(errorOf([&] { loadPlan(file); }), file, row.message);
    }
    void plansThatAreNone() {
        const auto file = m_directory / "plan.json";
        const auto said = [&](const std::string& text) {
            writeAtOnce(file, text);
            return errorOf([&] { loadPlan(file); });
        };
        compare(said(""), file, "is empty, expected JSON");
        compare(said("[]"), file, "expected an object");
        compare(said("NaN"), file, "not valid JSON at byte 1");
        compare(said(kDeepJson), file, "JSON is nested more than 256 levels deep");
        compare(said(R"({"version": 1, "key_ranks": [NaN]})"), file, "not valid JSON at byte");
        compare(said(R"({"version": 1e999})"), file, "a number is out of range");
        const std::string whole = planJson().dump();
        for (std::size_t size = 0; size < whole.size(); ++size)
            compare(said(whole.substr(0, size)), file, "");
    }

private:
    static const std::vector<Row>& partialRows() {
        static const std::vector<Row> kRows = {
            {"windows overflow", metadata("windows", "9223372036854775808"),
             "__metadata__.windows: expected a whole number above 0"},
            {"negative windows", metadata("windows", "-3"),
             "__metadata__.windows: expected a whole number above 0"},
            {"no identity", [](Parts& p) { p.metadata.erase("identity"); },
             "__metadata__.identity: is missing"},
            {"identity no JSON", metadata("identity", "["), "__metadata__.identity: is not valid JSON"},
            {"identity no list", metadata("identity", "{}"), "__metadata__.identity: expected an array"},
            {"identity of numbers", metadata("identity", "[[1, 2]]"), "]: expected a string"},
            {"identity too long",
             metadata(
                 "identity", "[" +
                                 [] {
                                     std::string pairs = "[\"a\",\"b\"]";
                                     for (int i = 0; i < 64; ++i)
                                         pairs += ",[\"a\",\"b\"]";
                                     return pairs;
                                 }() +
                                 "]"),
             "__metadata__.identity: has more than 64 entries"},
            {"dtype", [](Parts& p) { p.spec("layers.1.sums").dtype = FileDType::I64; },
             "layers.1.sums: expected F64 [sums]"},
            {"shape",
             [](Parts& p) {
                 p.spec("layers.0.sums").shape = {3, 1};
             },
             "layers.0.sums: expected F64 [sums]"},
            {"not a number", [](Parts& p) { p.set("layers.0.sums", 2, std::nan("")); },
             "layers.0.sums: holds a number that is not finite"},
            {"no layers", [](Parts& p) { p.remove("layers.0.sums"), p.remove("layers.1.sums"); },
             "expected sums of 1 to 65536 layers"},
        };
        return kRows;
    }
    static Json planJson() {
        return {{"version", 1},          {"method", "eigen"},
                {"criterion", "energy"}, {"key_ranks", {3, 4}},
                {"value_ranks", {5, 6}}, {"thresholds", {{"keys", 0.9}, {"values", 0.9}}},
                {"key_bits", {4, 16}}};
    }
};

QTEST_GUILESS_MAIN(TestCorruptedResults)
#include "tst_corrupted_results.moc"
