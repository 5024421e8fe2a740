import { expect } from '@jest/globals';
import type { LedgerReport } from './ledger.js';

/** No call may outlast its deadline of 1.5 s by more than a loaded machine explains. */
const CALL_MS = 1_500 + 1_500;

/** Nothing hung, ran twice, took longer than its deadline, or ended with an error that lied. */
export function expectHonest(report: LedgerReport): void {
  expect(report.verdicts.hung).toBe(0);
  expect(report.duplicated).toBe(0);
  expect(report.misreported).toBe(0);
  expect(report.longestCallMs).toBeLessThan(CALL_MS);
}
