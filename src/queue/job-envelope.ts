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
  if (
    typeof stored === 'object' &&
    stored !== null &&
    (stored as { v?: unknown }).v === 1 &&
    'data' in stored
  ) {
    return stored as JobEnvelope;
  }
  return envelope(stored, null);
}
