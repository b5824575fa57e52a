// SPDX-License-Identifier: Apache-2.0
#include "core/compression/refitted_outputs.h"

#include "core/model/weight_reader.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace eigenscope {

// Weights as float32, which holds the other dtypes' numbers exactly: [outputs, inputs], then the bias.
struct RefittedOutputs::Store {
    Store(const Model& model, std::shared_ptr<Backend> device, const StateOptions& storage)
        : backend(std::move(device)),
          stream(backend->createStream(0)),
          forms(model.layers.size()),
          states(sizesOf(model), storage) {}

    static std::vector<std::size_t> sizesOf(const Model& model) {
        std::vector<std::size_t> sizes;
        for (const LayerWeights& layer : model.layers) {
            const Linear& output = layer.attention.output;
            sizes.push_back(static_cast<std::size_t>(output.outputs() * (output.inputs() + 1)));
        }
        return sizes;
    }

    void write(std::size_t layer, const Linear& output) {
        const std::lock_guard lock(mutex);
        std::vector<std::byte> bytes(output.weight.bytes());
        backend->download(*stream, bytes.data(), output.weight.data(), bytes.size());
        std::vector<float> values(states.size(layer));
        const std::int64_t count = output.weight.shape().count();
        for (std::int64_t i = 0; i < count; ++i)
            values[static_cast<std::size_t>(i)] = loadAsF32(bytes.data(), output.weight.dtype(), i);
        backend->download(*stream, values.data() + count, output.bias.data(), output.bias.bytes());
        states.write(layer, values);
        forms[layer] = {describedTensor(output.weight.dtype(), output.weight.shape()),
                        describedTensor(DType::F32, output.bias.shape())};
    }

    // Empty before it was written.
    Linear read(std::size_t layer) {
        const std::lock_guard lock(mutex);
        const Linear& form = forms[layer];
        if (form.weight.empty())
            return {};
        std::vector<float> values(states.size(layer));
        states.read(layer, values);
        const DType dtype = form.weight.dtype();
        const std::int64_t count = form.weight.shape().count();
        std::vector<std::byte> bytes(static_cast<std::size_t>(count) * sizeOf(dtype));
        for (std::int64_t i = 0; i < count; ++i)
            storeFromF32(bytes.data(), dtype, i, values[static_cast<std::size_t>(i)]);
        Linear output{makeTensor(*backend, dtype, form.weight.shape()),
                      makeTensor(*backend, DType::F32, form.bias.shape())};
        backend->upload(*stream, output.weight.data(), bytes.data(), bytes.size());
        backend->upload(*stream, output.bias.data(), values.data() + count, output.bias.bytes());
        stream->synchronize();  // the numbers end with this function
        return output;
    }

    std::mutex mutex;
    std::shared_ptr<Backend> backend;
    std::unique_ptr<Stream> stream;
    std::vector<Linear> forms;  // [layers], described
    HiddenStates states;
};

RefittedOutputs::RefittedOutputs(const OpenModel& converted, Model& model, const StateOptions& storage)
    : m_backend(*converted.backend), m_model(model) {
    if (!model.streamed())
        return;
    m_store = std::make_shared<Store>(model, converted.backend, storage);
    std::size_t largest = 0;
    for (const LayerWeights& layer : model.layers)
        largest = std::max(largest, layer.attention.output.weight.bytes());
    m_overlay = std::make_shared<AttentionOverlay>(
        converted.model,
        [store = m_store](int layer, const AttentionWeights& below, const std::stop_token&) {
            AttentionWeights attention = below;
            if (Linear output = store->read(static_cast<std::size_t>(layer)); !output.weight.empty())
                attention.output = std::move(output);
            return attention;
        },
        // With the same numbers as float32 and as bytes on their way.
        static_cast<std::int64_t>(largest) * 4);
    model.source = m_overlay;
}

void RefittedOutputs::set(int layer, const Linear& output) {
    Linear& place = m_model.layers[static_cast<std::size_t>(layer)].attention.output;
    if (!m_store) {
        place = output;
        return;
    }
    m_store->write(static_cast<std::size_t>(layer), output);
    m_overlay->forget();
    place = {describedTensor(output.weight.dtype(), output.weight.shape()),
             describedTensor(DType::F32, output.bias.shape())};
}

}  // namespace eigenscope
