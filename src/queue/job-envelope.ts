/** Trace a job belongs to, in the form of W3C Trace Context. */
export interface JobTrace {
  /** Trace and span the job was added in. */
  readonly traceparent: string;
  /** What vendors of tracing added. */
  readonly tracestate?: string;
}

/** What is stored as the data of every job: the payload with the tenant and trace it belongs to. */
export interface JobEnvelope<Data = unknown> {
  /** Version of the envelope; by this field it is told from data of a foreign add. */
  readonly rednest: 1;
  /** Tenant the job belongs to; `null` for jobs of the system itself. */
  readonly tenantId: string | null;
  /** The payload. */
  readonly data: Data;
  /** Trace of the code that added the job. */
  readonly trace?: JobTrace;
  /** Key of a claim that ends when the job fails for good. */
  readonly claim?: string;
}

/** What an envelope carries beside payload and tenant. */
export type EnvelopeExtras = Pick<JobEnvelope, 'trace' | 'claim'>;

/** Wraps a payload. */
export function envelope<Data>(
  data: Data,
  tenantId: string | null,
  extras?: EnvelopeExtras,
): JobEnvelope<Data> {
  return extras === undefined ? { rednest: 1, tenantId, data } : { rednest: 1, tenantId, data, ...extras };
}

/** Reads the data of a job, also of one that was added without an envelope. */
export function openEnvelope(stored: unknown): JobEnvelope {
  return isEnvelope(stored) ? stored : envelope(stored, null);
}

/** `data` may be missing: JSON drops it when the payload is `undefined`. */
function isEnvelope(stored: unknown): stored is JobEnvelope {
  if (typeof stored !== 'object' || stored === null) return false;
  const { rednest, tenantId } = stored as { rednest?: unknown; tenantId?: unknown };
  return rednest === 1 && (tenantId === null || typeof tenantId === 'string');
}
