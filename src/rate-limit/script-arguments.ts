import type { Demand } from './decision.js';
import type { Change, EvaluationMode } from './local/local-limiter.js';
import { isCounted } from './resolved-policy.js';

/** KEYS of both scripts: per policy its counter, then its block. */
export function keysOf(prefix: string, demands: readonly Demand[]): string[] {
  const keys: string[] = [];
  for (const { identity, set } of demands) {
    const start = prefix + identity;
    for (const { keySuffix, blockSuffix } of set.policies) {
      keys.push(start + keySuffix);
      if (blockSuffix !== undefined) keys.push(start + blockSuffix);
    }
  }
  return keys;
}

/** KEYS of `adjust`: those, and for a change that needs them the times of the resets. */
export function adjustKeys(change: Change, prefix: string, demands: readonly Demand[]): string[] {
  const keys = keysOf(prefix, demands);
  if (change.kind !== 'refund' && change.kind !== 'reset') return keys;
  for (const { identity, set } of demands) {
    for (const { resetSuffix } of set.policies) keys.push(prefix + identity + resetSuffix);
  }
  return keys;
}

/** ARGV of `consume`. */
export function consumeArguments(
  mode: EvaluationMode,
  maxWaitUs: number,
  demands: readonly Demand[],
): [number, ...(string | number)[]] {
  const args: [number, ...(string | number)[]] = [mode === 'peek' ? -1 : maxWaitUs];
  for (const { set, cost } of demands) {
    const { policies } = set;
    for (let index = 0; index < policies.length; index += 1) {
      const { kind, limit, windowUs, param, rules } = policies[index]!;
      args.push(kind, typeof cost === 'number' ? cost : cost[index]!, limit, windowUs, param);
      if (rules.length > 0) args.push(...rules);
    }
  }
  return args;
}

/** ARGV of `adjust`. */
export function adjustArguments(
  change: Change,
  channel: string,
  demands: readonly Demand[],
): [string, number, string, string, number, ...(string | number)[]] {
  const args: [string, number, string, string, number, ...(string | number)[]] = [
    change.kind,
    amountOf(change),
    channel,
    // Escaped, so without white space.
    demands.map(({ identity }) => identity).join(' '),
    keysOf('', demands).length,
  ];
  let place = 3;
  for (const { set, cost } of demands) {
    for (const [index, { kind, limit, windowUs, param, rules }] of set.policies.entries()) {
      const units = typeof cost === 'number' ? cost : cost[index]!;
      const isRefund = change.kind === 'refund';
      const stamp = isRefund ? change.reply[place]! : 0;
      const own = isRefund && !isCounted(set.policies[index]!, change.reply[place + 1]!) ? 0 : units;
      args.push(kind, own, limit, windowUs, param, stamp, ...rules);
      place += 3;
    }
  }
  return args;
}

function amountOf(change: Change): number {
  switch (change.kind) {
    case 'refund':
      return change.reply[1]!;
    case 'reward':
    case 'penalize':
      return change.amount;
    case 'block':
    case 'pause':
      return change.amountUs;
    case 'reset':
      return 0;
  }
}
