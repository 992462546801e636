"""One k-means peer, one run, in a process of its own.

    python kmeans_peer.py TOOL K WEIGHTS.f32 IMPORTANCE.f32|- CENTRES.npy CPU_SECONDS

Reads the data, imports the library and warms it up where it compiles at first use; then solves under a limit of processor
time, and prints the seconds of solving as JSON. The arrays are handed over as each library takes them without a copy of ours.
"""

import json
import logging
import resource
import sys
import time

import numpy


def scikit_learn(k):
    from sklearn.cluster import KMeans

    def solve(values, importance):
        model = KMeans(n_clusters=k, algorithm="lloyd", n_init=1, random_state=0)
        return model.fit(values.reshape(-1, 1), sample_weight=importance).cluster_centers_

    return solve


def kmeans1d(k):
    import kmeans1d as library

    return lambda values, importance: library.cluster(values, k).centroids


def ckwrap(k):
    import ckwrap as library

    # Not the default method: `linear` has returned eight times the optimum.
    return lambda values, importance: library.ckmeans(values, k, weights=importance, method="loglinear").centers


def flash1dkmeans(k):
    from flash1dkmeans import kmeans_1d

    def solve(values, importance):
        return kmeans_1d(values, k, sample_weights=importance, random_state=0)[0]

    random = numpy.random.default_rng(1)
    sample = random.laplace(size=10_000).astype(numpy.float32)
    weights = random.random(10_000, dtype=numpy.float32)
    solve(sample, None)
    solve(sample, weights)
    return solve


def faiss(k):
    import faiss as library

    def solve(values, importance):
        # Every weight takes part: the default is a sample of 256 per centre.
        trained = library.Kmeans(1, k, niter=25, seed=1, max_points_per_centroid=len(values))
        trained.train(values.reshape(-1, 1), weights=importance)
        return trained.centroids

    return solve


def quiet_coremltools():
    logging.disable(logging.CRITICAL)
    from coremltools._deps import kmeans1d as library

    return library


def coremltools_fp16(k):
    """coremltools.models.neural_network.quantization_utils: distinct float16 values with their counts."""
    library = quiet_coremltools()

    def solve(values, importance):
        distinct, _, counts = numpy.unique(
            values.astype(numpy.float16), return_inverse=True, return_counts=True)
        return library.cluster(distinct, k, weights=counts).centroids

    return solve


def coremltools_weighted(k):
    """coremltools.optimize.torch with importance: every float32 weight, as it is."""
    library = quiet_coremltools()
    return lambda values, importance: library.cluster(values, k, weights=importance).centroids


TOOLS = {
    "scikit-learn": scikit_learn,
    "kmeans1d": kmeans1d,
    "ckwrap": ckwrap,
    "flash1dkmeans": flash1dkmeans,
    "faiss-cpu": faiss,
    "coremltools fp16": coremltools_fp16,
    "coremltools weighted": coremltools_weighted,
}


def main(tool, k, values, importance, centres, cpu_seconds):
    solve = TOOLS[tool](int(k))
    values = numpy.fromfile(values, dtype="<f4")
    importance = None if importance == "-" else numpy.fromfile(importance, dtype="<f4")
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    end = int(time.process_time()) + 1 + int(cpu_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (end if most == resource.RLIM_INFINITY else min(end, most), most))
    start = time.process_time()
    found = solve(values, importance)
    seconds = time.process_time() - start
    numpy.save(centres, numpy.asarray(found, dtype=numpy.float64).ravel())
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
