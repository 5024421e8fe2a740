import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { DIAGNOSTICS, type QueueDiagnostic } from 'rednest';

/** Collects what is published about queues, of the given kinds, until `end` is called. */
export function queueDiagnostics(...kinds: QueueDiagnostic['event'][]): {
  readonly list: QueueDiagnostic[];
  end(): void;
} {
  const list: QueueDiagnostic[] = [];
  const hear = (message: unknown): void => {
    const diagnostic = message as QueueDiagnostic;
    if (kinds.includes(diagnostic.event)) list.push(diagnostic);
  };
  subscribe(DIAGNOSTICS.queue, hear);
  return { list, end: () => void unsubscribe(DIAGNOSTICS.queue, hear) };
}
