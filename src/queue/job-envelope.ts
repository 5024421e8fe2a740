/** What is stored as the data of every job: the payload with the tenant it belongs to. */
export interface JobEnvelope<Data = unknown> {
  /** Version of the envelope. */
  readonly v: 1;
  /** Tenant the job belongs to; `null` for jobs of the system itself. */
  readonly tenantId: string | null;
  /** The payload. */
  readonly data: Data;
}

/** Wraps a payload. */
export function envelope<Data>(data: Data, tenantId: string | null): JobEnvelope<Data> {
  return { v: 1, tenantId, data };
}

/** Reads the data of a job, also of one that was added without an envelope. */
export function openEnvelope(stored: unknown): JobEnvelope {
  return isEnvelope(stored) ? stored : envelope(stored, null);
}

/** `data` may be missing: JSON drops it when the payload is `undefined`. */
function isEnvelope(stored: unknown): stored is JobEnvelope {
  if (typeof stored !== 'object' || stored === null) return false;
  const { v, tenantId } = stored as { v?: unknown; tenantId?: unknown };
  return v === 1 && (tenantId === null || typeof tenantId === 'string');
}
