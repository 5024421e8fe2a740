import { RednestError } from '../common/index.js';
import { RedisCallError, type CallContext } from './redis.errors.js';

/** Slot of one key of a list. */
export interface KeySlot {
  /** Position of the key in the list, from 0. */
  readonly index: number;
  /** Hash slot, 0 to 16383. */
  readonly slot: number;
  /** Form of the key, such as `shop:order:{*}:*`; its variable parts are left out. */
  readonly pattern: string;
}

/**
 * Thrown before anything is sent when keys that must share a hash slot do not. Give them one hash
 * tag, or send one command per slot.
 */
export class CrossSlotError extends RednestError {
  override readonly name = 'CrossSlotError';
  override readonly code = 'ERR_REDIS_CROSS_SLOT';
  /** Nothing left this process. */
  readonly outcome = 'not-sent' as const;

  constructor(
    /** Every key of the call with its slot. */
    readonly keys: readonly KeySlot[],
  ) {
    const slot = keys[0]?.slot;
    const others = keys.filter((key) => key.slot !== slot);
    const shown = others.slice(0, 5).map((key) => `#${key.index} ${key.pattern} (slot ${key.slot})`);
    const more = others.length > shown.length ? ` and ${others.length - shown.length} more` : '';
    super(
      `${others.length} of ${keys.length} keys are not in slot ${slot} of the first one, ` +
        `${keys[0]?.pattern}: ${shown.join(', ')}${more}; give them the same {hash tag}`,
    );
  }
}

/** One command of a batch that failed. */
export interface FailedCommand {
  /** Position of the command in the batch, from 0. */
  readonly index: number;
  /** Name of the command in lower case, without its arguments. */
  readonly command: string;
  /** Why, and what is known about its effect. */
  readonly error: RedisCallError;
}

/**
 * Thrown when at least one command of a pipeline or transaction failed. The other commands of a
 * pipeline, and of a transaction that was executed, did take effect: see {@link applied}.
 */
export class PipelineError extends RedisCallError {
  override readonly name = 'PipelineError';
  override readonly code = 'ERR_REDIS_PIPELINE';
  /** Position of the first command that failed. */
  readonly index: number;
  /** Name of the first command that failed. */
  readonly command: string;

  constructor(
    /** Every command that failed, in order. At least one. */
    readonly failures: readonly [FailedCommand, ...FailedCommand[]],
    /** Commands of the batch. */
    readonly total: number,
    /** Commands that took effect. 0 when the server discarded the whole transaction. */
    readonly applied: number,
    context: Omit<CallContext, 'outcome'>,
  ) {
    const [first] = failures;
    const isUnknown = failures.some(({ error }) => error.outcome === 'unknown');
    super(
      `${context.operation}: ${failures.length} of ${total} commands failed on Redis "${context.connection}", ` +
        `${applied} took effect; first was #${first.index} ${first.command}: ${first.error.message}`,
      { ...context, outcome: isUnknown ? 'unknown' : first.error.outcome },
    );
    this.index = first.index;
    this.command = first.command;
  }
}

/**
 * Thrown when an optimistic transaction found its keys changed by others on every attempt. Nothing was
 * written: `outcome: 'refused'`. Try later, or use a lock or a script for keys this busy.
 */
export class TransactionConflictError extends RedisCallError {
  override readonly name = 'TransactionConflictError';
  override readonly code = 'ERR_REDIS_CONFLICT';

  constructor(
    /** Attempts made. */
    readonly attempts: number,
    context: Omit<CallContext, 'outcome'>,
  ) {
    super(`${context.operation}: watched keys changed during each of ${attempts} attempts`, {
      ...context,
      outcome: 'refused',
    });
  }
}
