// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/checks.h"
#include "kernels/api/error.h"

#include <string>

namespace eigenscope {

namespace {

void require(bool ok, const char* what) {
    if (!ok)
        throw Error(ErrorCode::InvalidInput, what);
}

}  // namespace

void check(const ProjectParams& p) {
    require(p.count >= 1 && p.count <= static_cast<std::int32_t>(p.products.size()),
            "project: expected one to three products");
    const GemmParams& first = p.products[0];
    for (std::int32_t i = 0; i < p.count; ++i) {
        const GemmParams& product = p.products[static_cast<std::size_t>(i)];
        check(product);
        require(product.x == first.x && product.m == first.m && product.k == first.k &&
                    product.compute == first.compute,
                "project: the products differ in x, m, k or compute; expected the same rows for all");
    }
    if (!p.norm)
        return;
    check(*p.norm);
    require(p.norm->y == first.x && p.norm->rows == first.m && p.norm->width == first.k,
            "project: the norm's y, rows and width are not x, m and k of the products");
}

void check(const MlpParams& p) {
    check(p.project);
    check(p.activate);
    check(p.down);
    const GemmParams& first = p.project.products[0];
    require(p.project.count <= 2, "mlp: expected one or two products before the activation");
    const bool gated = p.project.count == 2;
    require(!gated || p.project.products[1].n == first.n, "mlp: the two products differ in n");
    require(p.activate.x == first.y && p.activate.gate == (gated ? p.project.products[1].y : nullptr) &&
                p.activate.count == first.m * first.n,
            "mlp: the activation's x, gate and count are not those of the products before it");
    require(p.down.x == p.activate.y && p.down.m == first.m && p.down.k == first.n,
            "mlp: x, m and k of the last product are not those of the activation before it");
}

void check(const RotateAndAppendParams& p) {
    check(p.keys);
    check(p.values);
    require(p.keys.cache.batch == p.values.cache.batch && p.keys.length == p.values.length &&
                p.keys.position == p.values.position && p.keys.device_position == p.values.device_position,
            "rotateAndAppend: keys and values differ in batch, length or position");
    for (const RopeParams* rotation : {p.query_rotation, p.key_rotation}) {
        if (!rotation)
            continue;
        check(*rotation);
        require(rotation->batch == p.keys.cache.batch && rotation->length == p.keys.length &&
                    rotation->first_position == p.keys.position &&
                    rotation->device_position == p.keys.device_position,
                "rotateAndAppend: a rotation differs from the keys in batch, length or position");
    }
    require(
        !p.key_rotation || (p.key_rotation->x == p.keys.x && p.key_rotation->heads == p.keys.cache.heads &&
                            p.key_rotation->head_dim == p.keys.cache.width),
        "rotateAndAppend: the rotation's x, heads and head_dim are not those of the keys");
}

}  // namespace eigenscope
