"""Fits the line from R² of ten samples to the share of float32's accuracy that a number format keeps.

Hill et al. 2018, section 3.3, fit one line on all formats of other networks. Input: the CSV files that
`quantscope precision NETWORK --data … --search exhaustive --full -o NETWORK.csv` writes, one per network, with the number of
answers that float32 gets right: `python3 experiments/precision_fit.py lenet.csv:199 resnet.csv:199 …`. It prints the line
through all of them and, leaving each network out in turn, the line of the others with what it foretells of the one left out.
Plain Python, no dependency.
"""

import csv
import math
import sys


def points(argument):
    path, float_right = argument.rsplit(":", 1)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [(float(row["r2"]), int(row["right"]) / int(float_right), float(row["bits"])) for row in rows]


def fit(pairs):
    n = len(pairs)
    mean_x, mean_y = sum(p[0] for p in pairs) / n, sum(p[1] for p in pairs) / n
    xx = sum((p[0] - mean_x) ** 2 for p in pairs)
    xy = sum((p[0] - mean_x) * (p[1] - mean_y) for p in pairs)
    yy = sum((p[1] - mean_y) ** 2 for p in pairs)
    slope = xy / xx
    residual = math.sqrt(max(yy - slope * xy, 0) / n)
    return mean_y - slope * mean_x, slope, residual, xy / math.sqrt(xx * yy)


def main():
    networks = {argument.rsplit(":", 1)[0]: points(argument) for argument in sys.argv[1:]}
    print("line of             intercept  slope      residual  correlation  residual on the one left out")
    for name in [None, *networks]:
        others = [p for other, own in networks.items() if other != name for p in own]
        intercept, slope, residual, correlation = fit(others)
        left = networks.get(name, [])
        rms = math.sqrt(sum((intercept + slope * p[0] - p[1]) ** 2 for p in left) / len(left)) if left else math.nan
        title = "all" if name is None else f"all but {name.rsplit('/', 1)[-1]}"
        print(f"{title:<19} {intercept:.6f}   {slope:.6f}   {residual:.4f}    {correlation:.4f}       {rms:.4f}")


if __name__ == "__main__":
    main()
