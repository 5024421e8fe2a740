/** How an operation ended for the application. */
export type Verdict = 'acked' | 'not-sent' | 'refused' | 'unknown' | 'hung';

/** One line of the ledger. Times are monotonic. */
export interface Operation {
  readonly id: string;
  readonly key: string;
  readonly startedMs: number;
  endedMs: number;
  verdict: Verdict;
  /** Set by the audit. */
  lost?: boolean;
}

/** Result of an audit. */
export interface LedgerReport {
  readonly attempted: number;
  /** Operations by how they ended for the application. */
  readonly verdicts: Readonly<Record<Verdict, number>>;
  /** Acknowledged, and not on the server. */
  readonly lost: number;
  /** Applied more than once. */
  readonly duplicated: number;
  /** Failed with an unknown outcome, and applied. Honest, but the caller has to look. */
  readonly unknownButApplied: number;
  /** Reported as not sent or refused, and applied: the error lied. */
  readonly misreported: number;
  /** Longest time without an acknowledgement, in milliseconds. */
  readonly longestGapMs: number;
  /** Longest time one operation took to settle, in milliseconds. */
  readonly longestCallMs: number;
  /**
   * Milliseconds from a monotonic time to the end of the first operation that was sent after it,
   * acknowledged and kept; `Infinity` when there was none.
   *
   * @param keys only operations on these @default all
   */
  resumedAfter(atMs: number, keys?: readonly string[]): number;
}

/** @internal */
export function judge(operations: readonly Operation[], counts: ReadonlyMap<string, number>): LedgerReport {
  const verdicts: Record<Verdict, number> = { acked: 0, 'not-sent': 0, refused: 0, unknown: 0, hung: 0 };
  const found = { lost: 0, duplicated: 0, unknownButApplied: 0, misreported: 0 };
  let longestCallMs = 0;
  for (const operation of operations) {
    const { id, verdict, startedMs, endedMs } = operation;
    const count = counts.get(id) ?? 0;
    operation.lost = verdict === 'acked' && count === 0;
    verdicts[verdict] += 1;
    if (operation.lost) found.lost += 1;
    if (count > 1) found.duplicated += 1;
    if (verdict === 'unknown' && count > 0) found.unknownButApplied += 1;
    if ((verdict === 'not-sent' || verdict === 'refused') && count > 0) found.misreported += 1;
    if (verdict !== 'hung') longestCallMs = Math.max(longestCallMs, endedMs - startedMs);
  }
  const kept = operations
    .filter(({ verdict, lost }) => verdict === 'acked' && !lost)
    .sort((a, b) => a.endedMs - b.endedMs);
  return {
    attempted: operations.length,
    verdicts,
    ...found,
    longestGapMs: Math.round(longestGap(kept)),
    longestCallMs: Math.round(longestCallMs),
    resumedAfter: (atMs, keys) => resumedAfter(kept, atMs, keys),
  };
}

function longestGap(kept: readonly Operation[]): number {
  return kept.reduce(
    (longest, { endedMs }, index) => Math.max(longest, endedMs - (kept[index - 1]?.endedMs ?? endedMs)),
    0,
  );
}

function resumedAfter(kept: readonly Operation[], atMs: number, keys?: readonly string[]): number {
  const first = kept.find(
    ({ startedMs, key }) => startedMs >= atMs && (keys === undefined || keys.includes(key)),
  );
  return first ? Math.round(first.endedMs - atMs) : Infinity;
}

/** @internal */
export function printReport(label: string, report: LedgerReport): string {
  const { verdicts } = report;
  return (
    `${label}: ${report.attempted} operations, ${verdicts.acked} acknowledged, ` +
    `failed ${verdicts['not-sent']} not-sent / ${verdicts.refused} refused / ${verdicts.unknown} unknown ` +
    `(${report.unknownButApplied} of them applied), ${verdicts.hung} hung, ${report.lost} lost, ` +
    `${report.duplicated} duplicated, ${report.misreported} misreported, ` +
    `longest gap ${report.longestGapMs} ms, longest call ${report.longestCallMs} ms`
  );
}
