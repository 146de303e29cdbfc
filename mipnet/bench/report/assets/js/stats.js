// The statistics of mipnet.bench.statistics once more, so that everything can be computed anew for
// what is shown. Same formulas, same names; tests compare the two on the same numbers.

const finite = (values) => values.filter((v) => v !== null && Number.isFinite(v));
const mean = (values) => values.length ? values.reduce((a, b) => a + b, 0) / values.length : NaN;
const ascending = (a, b) => a - b;

function quantile(values, q) {
  const v = [...values].sort(ascending);
  if (!v.length) return NaN;
  const at = q * (v.length - 1), low = Math.floor(at);
  return low + 1 < v.length ? v[low] + (at - low) * (v[low + 1] - v[low]) : v[low];
}

function shiftedGeometricMean(values, shift = 1) {
  return values.length ? Math.exp(mean(values.map((v) => Math.log(v + shift)))) - shift : NaN;
}

function penalisedAverage(times, solved, limits, factor = 2) {
  return mean(times.map((t, i) => (solved[i] ? t : factor * limits[i])));
}

// Rows of ratios to the best of each item; infinite where a series did not solve it.
function ratiosToBest(times, solved, floor = 0) {
  return times.map((row, i) => {
    const kept = row.map((t, k) => (solved[i][k] ? Math.max(t, floor) : Infinity));
    const best = Math.min(...kept);
    return kept.map((t) => (t === Infinity ? Infinity : t / best));
  });
}

// Steps [factor, share] of one series: the share of the items solved within a factor of the best.
function profile(ratios) {
  const sorted = ratios.filter(Number.isFinite).sort(ascending), steps = [];
  sorted.forEach((r, i) => {
    if (i + 1 === sorted.length || sorted[i + 1] !== r) steps.push([r, (i + 1) / ratios.length]);
  });
  return steps;
}

function cactus(times, solved) {
  return times.filter((_, i) => solved[i]).sort(ascending).map((t, i) => [t, i + 1]);
}

// Steps {time, open, risk, error} of the share of items still open; unsolved runs are censored.
function kaplanMeier(times, solved) {
  const steps = [...new Set(times.filter((_, i) => solved[i]))].sort(ascending);
  let open = 1, sum = 0;
  return steps.map((time) => {
    const risk = times.filter((t) => t >= time).length;
    const ended = times.filter((t, i) => solved[i] && t === time).length;
    open *= (risk - ended) / risk;
    if (risk > ended) sum += ended / (risk * (risk - ended));
    return { time, open, risk, error: open * Math.sqrt(sum) };
  });
}

function virtualBest(times, solved, shown) {
  return times.map((row, i) => {
    const won = shown.filter((k) => solved[i][k]);
    const from = won.length ? won : shown;
    return { time: Math.min(...from.map((k) => row[k])), solved: won.length > 0 };
  });
}

// Loss of the virtual best, as PAR-k, when one series is taken away.
function marginalContribution(times, solved, limits, factor = 2) {
  const all = times.length ? times[0].map((_, k) => k) : [];
  const score = (shown) => {
    if (!shown.length) return factor * mean(limits);
    const best = virtualBest(times, solved, shown);
    return penalisedAverage(best.map((b) => b.time), best.map((b) => b.solved), limits, factor);
  };
  const whole = score(all);
  return all.map((k) => score(all.filter((j) => j !== k)) - whole);
}

// Of b against a: [wins, ties, losses].
function winsTiesLosses(a, wonA, b, wonB, tolerance = 0.05) {
  const counts = [0, 0, 0];
  a.forEach((_, i) => {
    const x = wonA[i] ? a[i] : Infinity, y = wonB[i] ? b[i] : Infinity;
    const both = x === Infinity && y === Infinity;
    const near = x < Infinity && y < Infinity && Math.abs(x - y) <= tolerance * Math.max(x, y);
    counts[both || near ? 1 : y < x ? 0 : 2] += 1;
  });
  return counts;
}

// mulberry32, indexed: number i depends on seed and i only.
function uniform(index, seed = 0) {
  const a = (seed + Math.imul(index + 1, 0x6d2b79f5)) >>> 0;
  let t = Math.imul(a ^ (a >>> 15), 1 | a) >>> 0;
  t = ((t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t) >>> 0;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

let drawn = { count: -1, repeats: 0, index: new Uint32Array(0) };
function resamples(count, repeats) {
  if (drawn.count !== count || drawn.repeats !== repeats) {
    const index = new Uint32Array(count * repeats);
    for (let i = 0; i < index.length; i += 1) index[i] = Math.floor(uniform(i) * count);
    drawn = { count, repeats, index };
  }
  return drawn.index;
}

// Ratio of shifted geometric means, b over a, with a percentile bootstrap over whole groups.
function pairedRatio(a, b, groups, shift = 1, level = 0.95, repeats = 2000) {
  if (!a.length) return { ratio: NaN, low: NaN, high: NaN, pairs: 0 };
  const numbers = new Map(), sumA = [], sumB = [], size = [];
  groups.forEach((group, i) => {
    if (!numbers.has(group)) {
      numbers.set(group, numbers.size);
      sumA.push(0); sumB.push(0); size.push(0);
    }
    const g = numbers.get(group);
    sumA[g] += Math.log(a[i] + shift); sumB[g] += Math.log(b[i] + shift); size[g] += 1;
  });
  const count = size.length, index = resamples(count, repeats), ratios = new Float64Array(repeats);
  for (let r = 0; r < repeats; r += 1) {
    let x = 0, y = 0, n = 0;
    for (let i = r * count; i < (r + 1) * count; i += 1) {
      x += sumA[index[i]]; y += sumB[index[i]]; n += size[index[i]];
    }
    ratios[r] = (Math.exp(y / n) - shift) / (Math.exp(x / n) - shift);
  }
  return {
    ratio: shiftedGeometricMean(b, shift) / shiftedGeometricMean(a, shift),
    low: quantile(ratios, 0.5 - level / 2),
    high: quantile(ratios, 0.5 + level / 2),
    pairs: a.length,
  };
}

function midranks(values) {
  const order = values.map((_, i) => i).sort((i, j) => values[i] - values[j]);
  const ranks = new Array(values.length), ties = [];
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]] === values[order[from]]) to += 1;
    for (let i = from; i < to; i += 1) ranks[order[i]] = (from + 1 + to) / 2;
    ties.push(to - from);
    from = to;
  }
  return { ranks, ties };
}

// Two-sided p of Wilcoxon's signed-rank test; enumerated up to 50 differences.
function signedRank(a, b) {
  const d = a.map((v, i) => b[i] - v).filter((v) => v !== 0), n = d.length;
  if (!n) return 1;
  const { ranks, ties } = midranks(d.map(Math.abs));
  const above = ranks.reduce((s, r, i) => s + (d[i] > 0 ? r : 0), 0);
  const statistic = Math.min(above, (n * (n + 1)) / 2 - above);
  if (n <= 50) {
    const doubled = ranks.map((r) => Math.round(2 * r));
    const ways = new Float64Array(doubled.reduce((s, r) => s + r, 0) + 1);
    ways[0] = 1;
    doubled.forEach((r) => {
      for (let s = ways.length - 1; s >= r; s -= 1) ways[s] += ways[s - r];
    });
    const tail = ways.subarray(0, Math.round(2 * statistic) + 1).reduce((s, w) => s + w, 0);
    return Math.min(1, (2 * tail) / 2 ** n);
  }
  const shrink = ties.reduce((s, t) => s + t ** 3 - t, 0) / 48;
  const variance = (n * (n + 1) * (2 * n + 1)) / 24 - shrink;
  return Math.min(1, erfc((((n * (n + 1)) / 4 - statistic) / Math.sqrt(variance)) / Math.SQRT2));
}

// erfc(x) for x >= 0: its series near 0, its continued fraction beyond; 1e-12 and better.
function erfc(x) {
  if (x < 2) {
    let term = x, sum = x;
    for (let n = 1; n < 80; n += 1) { term *= -(x * x) / n; sum += term / (2 * n + 1); }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 80; n > 0; n -= 1) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

// Whether each point is undominated, all coordinates being costs; points with NaN are dominated.
function paretoFront(points) {
  const below = (q, p) => q.every((v, i) => v <= p[i]) && q.some((v, i) => v < p[i]);
  return points.map((p) => !p.some(Number.isNaN) && !points.some((q) => below(q, p)));
}

// Geometric standard deviation of repetitions.
function spreadFactor(values, floor = 1e-3) {
  if (values.length < 2) return values.length ? 1 : NaN;
  const logs = values.map((v) => Math.log(Math.max(v, floor))), m = mean(logs);
  return Math.exp(Math.sqrt(logs.reduce((s, l) => s + (l - m) ** 2, 0) / (logs.length - 1)));
}
