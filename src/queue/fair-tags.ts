import { ConfigurationError } from '../common/index.js';
import type { FairOptions } from './queue-contract.js';

/**
 * The highest priority BullMQ knows: that of a job without a turn. One that is added has it until its tag is set,
 * within one transaction; one that comes into the line by BullMQ's own hand, from a delay, a schedule or a flow,
 * until a worker gives it a turn.
 */
export const NO_TURN = 2_097_151;

/** Tags end below the range of priorities; a busy period of as many jobs falls back to first come, first served. */
export const TAG_GUARD = 1_900_000;

/** Reply of the script when no tag was left. */
export const EXHAUSTED = -1;

/** A tenant of a smaller weight would use up the tags of a busy period with a few jobs. */
const LEAST_WEIGHT = 0.01;

/** More than this is no share any more. */
const GREATEST_WEIGHT = 100;

/**
 * How far one job moves its tenant back: the inverse of the weight.
 *
 * @throws {ConfigurationError} when the weight is out of bounds
 */
export function stepOf({ weight }: FairOptions, tenantId: string): number {
  const value = weight?.(tenantId) ?? 1;
  if (value >= LEAST_WEIGHT && value <= GREATEST_WEIGHT) return 1 / value;
  throw new ConfigurationError(
    `The weight of a tenant must be a number from ${LEAST_WEIGHT} to ${GREATEST_WEIGHT}`,
  );
}
