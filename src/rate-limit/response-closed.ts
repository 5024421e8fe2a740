import type { ExecutionContext } from '@nestjs/common';
import { finished, type Writable } from 'node:stream';
import { adapterOf } from './context-adapter.js';
import { objectOf } from './context-values.js';

/** Resolves when the response is complete or its client is gone; at once where there is no response. */
export function whenClosed(context: ExecutionContext): Promise<void> {
  const response = objectOf(adapterOf(context)?.response(context));
  const raw = objectOf(response?.['raw']) ?? response;
  if (typeof raw?.['once'] !== 'function') return Promise.resolve();
  return new Promise((resolve) => {
    finished(raw as unknown as Writable, { readable: false }, () => resolve());
  });
}
