/** Middle and quartiles of a list of numbers. */
export interface Spread {
  readonly median: number;
  readonly p25: number;
  readonly p75: number;
}

/** The value below which the share `p` (0 to 1) of an ascending list lies. */
export function percentile(ascending: ArrayLike<number>, p: number): number {
  if (ascending.length === 0) return NaN;
  const position = (ascending.length - 1) * p;
  const low = Math.floor(position);
  const below = ascending[low]!;
  const above = ascending[Math.min(low + 1, ascending.length - 1)]!;
  return below + (above - below) * (position - low);
}

/** Median and quartiles. */
export function spread(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  return {
    median: round(percentile(sorted, 0.5)),
    p25: round(percentile(sorted, 0.25)),
    p75: round(percentile(sorted, 0.75)),
  };
}

/** Four significant digits; results files stay readable. */
export function round(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : value;
}

/** An average and how sure it is. */
export interface Mean {
  readonly mean: number;
  /** Standard error: two times this on either side holds the true mean 19 times out of 20. */
  readonly error: number;
}

/** Mean and its standard error. */
export function meanOf(values: readonly number[]): Mean {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / (values.length - 1) / values.length) };
}
