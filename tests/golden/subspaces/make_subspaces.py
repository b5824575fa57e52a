# SPDX-License-Identifier: Apache-2.0
"""Makes the data beside this file: pairs of bases and the principal angles between the spans of their first columns.

Nothing here uses Eigenscope. Angles are the arc cosines of the singular values of Q_1^T Q_2 in 60 decimal digits, where
Q_1 and Q_2 come from Gram-Schmidt in as many digits: there even tiny angles keep their digits.

    python make_subspaces.py        (numpy, mpmath)
"""
import json
from pathlib import Path

import mpmath
import numpy as np

mpmath.mp.dps = 60


def orthonormal(columns):
    result = []
    for column in columns.T:
        v = mpmath.matrix([mpmath.mpf(float(x)) for x in column])
        for q in result:
            v -= q * (q.T * v)[0]
        result.append(v / mpmath.norm(v))
    return result


def angles(a, b, ra, rb):
    qa, qb = orthonormal(a[:, :ra]), orthonormal(b[:, :rb])
    product = mpmath.matrix(ra, rb)
    for i in range(ra):
        for j in range(rb):
            product[i, j] = (qa[i].T * qb[j])[0]
    values = mpmath.svd_r(product, compute_uv=False)
    return sorted(float(mpmath.acos(min(mpmath.mpf(1), s))) for s in values)


def main():
    random = np.random.default_rng(3)
    n, cases = 8, []
    add = lambda name, a, b, ra, rb: cases.append(
        {"name": name, "width": n, "first": a.ravel().tolist(), "second": b.ravel().tolist(), "first_rank": ra,
         "second_rank": rb, "angles": angles(a, b, ra, rb)})
    q = lambda: np.linalg.qr(random.standard_normal((n, n)))[0]
    a = q()
    add("random", a, q(), 3, 3)
    add("ranks differ", a, q(), 2, 5)
    add("ranks differ the other way", a, q(), 6, 3)
    add("full", a, q(), 8, 8)
    add("one direction", a, q(), 1, 1)
    add("nearly the same", a, a + 1e-9 * random.standard_normal((n, n)), 4, 4)
    add("near 45 degrees", a, np.concatenate([(a[:, :1] + a[:, 4:5]), (a[:, 1:2] + 1.0001 * a[:, 5:6]), a[:, 2:]], axis=1),
        2, 2)
    add("not orthonormal", random.standard_normal((n, n)), random.standard_normal((n, n)) * 1e-3, 3, 4)
    flipped = np.concatenate([a[:, 4:], a[:, :4]], axis=1)
    add("orthogonal", a, flipped, 4, 4)
    shared = q()
    shared[:, :3] = a[:, :3] @ np.linalg.qr(random.standard_normal((3, 3)))[0]
    add("same span, other directions", a, shared, 3, 3)
    Path(__file__).with_name("expected.json").write_text(json.dumps(cases) + "\n")


main()
