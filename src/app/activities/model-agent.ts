import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { ActivitySession } from './activity.js';

/** One turn of a conversation with a model. */
export interface ModelTurn {
  readonly prompt: string;
  /** Conversation to continue; one the model does not know is begun anew. */
  readonly sessionId: string | undefined;
  readonly signal: AbortSignal;
}

/** A model that keeps conversations on its side. */
export abstract class ModelAgent {
  /** Runs a turn; rejects when the signal is aborted. */
  abstract run(turn: ModelTurn): Promise<ActivitySession & { output: string }>;
}

/** Time a turn takes, in milliseconds. */
const TURN_MS = 30;

/** A stand-in for a model: remembers how often each conversation was continued. */
@Injectable()
export class SimulatedAgent extends ModelAgent {
  private readonly turns = new Map<string, number>();

  override async run({
    prompt,
    sessionId,
    signal,
  }: ModelTurn): Promise<ActivitySession & { output: string }> {
    await delay(TURN_MS, undefined, { signal });
    const before = sessionId === undefined ? undefined : this.turns.get(sessionId);
    const id = before === undefined || sessionId === undefined ? `session-${randomUUID()}` : sessionId;
    const turns = (before ?? 0) + 1;
    this.turns.set(id, turns);
    return { id, resumed: before !== undefined, turns, output: `${prompt}: turn ${turns}` };
  }
}
