/** The part of a client the readiness check uses, between the handshake and `ready`. */
export interface HandshakeClient {
  readonly status: string;
  readonly condition?: { readonly select?: number } | null;
  readonly stream?: object | null;
  readonly options: { readonly maxLoadingRetryTime?: number | null };
  info(): Promise<string>;
  select(db: number): Promise<unknown>;
  emit(event: 'error', error: Error): unknown;
  listenerCount(event: 'error'): number;
}

type Callback = (error: Error | null, info?: Record<string, string>) => void;

/** Pause between two looks at a server that loads its data, in milliseconds. */
const LOADING_RETRY_MS = 100;

/**
 * Decides whether a connection may become ready. As the client's own check it waits while the server
 * loads its data; unlike it, it says so once as an error `LOADING`, is content without INFO where the
 * ACL refuses it, and does not let a connection become ready whose database was not selected: the
 * client would write to database 0.
 */
export async function checkReadiness(client: HandshakeClient, callback: Callback): Promise<void> {
  const { stream } = client;
  const isCurrent = (): boolean => client.status === 'connect' && client.stream === stream;
  let hasReported = false;
  for (;;) {
    const [info, selected] = await Promise.allSettled([client.info(), selectAgain(client)]);
    if (!isCurrent()) return;
    if (selected.status === 'rejected') return callback(selected.reason as Error);
    if (info.status === 'rejected') return withoutInfo(info.reason as Error, callback);
    const fields = parseInfo(info.value);
    if ((fields['loading'] ?? '0') === '0') return callback(null, fields);
    if (!hasReported) reportLoading(client);
    hasReported = true;
    await pause(client.options.maxLoadingRetryTime ?? LOADING_RETRY_MS);
    if (!isCurrent()) return;
  }
}

/** The first SELECT belongs to the handshake, where the client only reports its failure. */
function selectAgain(client: HandshakeClient): Promise<unknown> {
  const db = client.condition?.select;
  return db ? client.select(db) : Promise.resolve();
}

function withoutInfo(error: Error, callback: Callback): void {
  if (error.message.includes('NOPERM')) callback(null, {});
  else callback(error);
}

function reportLoading(client: HandshakeClient): void {
  if (client.listenerCount('error') === 0) return;
  client.emit('error', new Error('LOADING Redis is loading the dataset in memory'));
}

function parseInfo(text: unknown): Record<string, string> {
  if (typeof text !== 'string') return {};
  return Object.fromEntries(
    [...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name!, value!]),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
