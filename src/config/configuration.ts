import { ConfigurationError } from '../common/index.js';
import { DEFAULT_CONNECTION, type RednestConfiguration, type ResolvedConnection } from './resolved.js';
import { maskSecrets, withPrintedForm } from './secrets.js';
import type { ServerLabels } from './server-input.js';
import { resolveServer } from './server.js';

/** Freezes a configuration, its connections included, and makes it print without secrets. */
export function freezeConfiguration(values: RednestConfiguration): RednestConfiguration {
  const configuration = {
    ...values,
    connections: readonlyMap(values.connections),
    timeouts: Object.freeze(pickTimeouts(values.timeouts)),
    warnings: Object.freeze([...values.warnings]),
  };
  if (values.embedded === undefined) delete configuration.embedded;
  if (values.embeddedUse === undefined) delete configuration.embeddedUse;
  return withPrintedForm(configuration, () => printed(configuration));
}

function pickTimeouts(timeouts: RednestConfiguration['timeouts']): RednestConfiguration['timeouts'] {
  const { connectTimeoutMs, commandTimeoutMs, socketTimeoutMs } = timeouts;
  return { connectTimeoutMs, commandTimeoutMs, socketTimeoutMs };
}

function printed(configuration: RednestConfiguration): object {
  const connections = [...configuration.connections].map(([name, value]) => [name, maskSecrets(value)]);
  return {
    ...configuration,
    connections: Object.fromEntries(connections),
    embedded: configuration.embedded !== undefined,
  };
}

/** A copy whose content cannot be changed, not even by a caller who ignores the type. */
function readonlyMap<K, V>(source: ReadonlyMap<K, V>): ReadonlyMap<K, V> {
  const map = new Map(source);
  const refuse = (): never => {
    throw new TypeError('The configuration is read-only');
  };
  for (const name of ['set', 'delete', 'clear']) Object.defineProperty(map, name, { value: refuse });
  return Object.freeze(map);
}

/**
 * Completes a configuration whose default server is an embedded engine with the URL the engine
 * answered.
 *
 * @throws {ConfigurationError} when a default server is configured already, or the URL is unusable
 */
export function withDefaultServer(configuration: RednestConfiguration, url: string): RednestConfiguration {
  if (configuration.connections.has(DEFAULT_CONNECTION)) {
    throw new ConfigurationError(
      'The default connection has a server already; the embedded engine is not needed',
    );
  }
  const first: [string, ResolvedConnection] = [DEFAULT_CONNECTION, engineConnection(url, configuration)];
  return freezeConfiguration({
    ...configuration,
    embedded: undefined,
    embeddedUse: undefined,
    connections: new Map([first, ...configuration.connections]),
  });
}

function engineConnection(url: string, { timeouts, embeddedUse }: RednestConfiguration): ResolvedConnection {
  const faults: string[] = [];
  const label = 'The URL of the embedded engine';
  const connection = resolveServer(
    {
      labels: NO_LABELS,
      url: { label, value: url },
      tls: {},
      autoPipelining: embeddedUse?.autoPipelining && { label: 'autoPipelining', value: true },
    },
    timeouts,
    faults,
    embeddedUse?.roles,
  );
  if (!connection) throw new ConfigurationError(faults);
  return connection;
}

const NO_LABELS: ServerLabels = {
  host: 'host',
  password: 'password',
  sentinelHosts: '',
  sentinelName: '',
  tls: 'TLS',
};
