// SPDX-License-Identifier: Apache-2.0
// A model of a PyTorch file has the same weights as that of the safetensors file it was made from.
#include "core/checkpoint/checkpoint.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

void addLinear(std::vector<Tensor>& list, const Linear& linear) {
    list.push_back(linear.weight);
    list.push_back(linear.bias);
}
void addNorm(std::vector<Tensor>& list, const Norm& norm) {
    list.push_back(norm.weight);
    list.push_back(norm.bias);
}

std::vector<Tensor> tensorsOf(const Model& model) {
    std::vector<Tensor> list{model.token_embedding, model.position_embedding};
    for (const LayerWeights& layer : model.layers) {
        addNorm(list, layer.attention_norm);
        addNorm(list, layer.mlp_norm);
        for (const Linear* linear : {&layer.attention.query, &layer.attention.key, &layer.attention.value,
                                     &layer.attention.output, &layer.up, &layer.down})
            addLinear(list, *linear);
    }
    addNorm(list, model.final_norm);
    addLinear(list, model.output_head);
    return list;
}

std::vector<std::byte> bytesOf(Backend& backend, const Tensor& tensor) {
    std::vector<std::byte> bytes(tensor.empty() ? 0 : tensor.bytes());
    if (!bytes.empty()) {
        const auto stream = backend.createStream(0);
        backend.download(*stream, bytes.data(), tensor.data(), bytes.size());
    }
    return bytes;
}

}  // namespace

class TestPytorchModel : public QObject {
    Q_OBJECT

private slots:
    void sameWeightsAsSafetensors() {
        const auto backend = referenceBackend();
        JobContext job;
        const auto expected = Checkpoint::open(goldenModelDirectory("opt"));
        const auto found = Checkpoint::open(std::filesystem::path(EIGENSCOPE_SOURCE_DIR) / "tests" /
                                            "golden" / "checkpoint" / "pytorch" / "opt");
        QCOMPARE(found->fingerprint(), expected->fingerprint());
        const auto a = loadModel(job, *backend, *expected), b = loadModel(job, *backend, *found);
        const std::vector<Tensor> before = tensorsOf(*a), after = tensorsOf(*b);
        QCOMPARE(after.size(), before.size());
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < before.size(); ++i) {
            QVERIFY(after[i].dtype() == before[i].dtype());
            const std::vector<std::byte> weights = bytesOf(*backend, after[i]);
            QVERIFY2(weights == bytesOf(*backend, before[i]), std::to_string(i).c_str());
            bytes += weights.size();
        }
        QVERIFY(bytes > 50000);
    }
};

QTEST_GUILESS_MAIN(TestPytorchModel)
#include "tst_pytorch_model.moc"
